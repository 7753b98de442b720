package consumer

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

// A Generator answers one request at a time for each slot. Its errors have a class, see
// pipeline.ClassOf.
type Generator interface {
	Generate(ctx context.Context, request pipeline.Request) (pipeline.Completion, error)
}

// A Backend is a model server, whichever API it speaks.
type Backend interface {
	Generator
	ModelReporter
	// Identify returns what the server says of itself, without any model.
	Identify(ctx context.Context) (pipeline.ModelInfo, error)
	// Ping returns nil if the server answers.
	Ping(ctx context.Context) error
	// Describe returns what the server says of a model, or a Fatal failure if it has none of that
	// name. The context's length is certain only once the model is loaded.
	Describe(ctx context.Context, model string) (pipeline.ModelInfo, error)
	// WarmUp loads a model and waits until it is ready.
	WarmUp(ctx context.Context, model string) error
}

// A RunningServer is a model server that the consumer has not started, with the URL under which
// people know it.
type RunningServer struct {
	URL string
	Backend
}

const (
	answerWithin = 10 * time.Second // that a server may take which was started together with the consumer
	answerPause  = 200 * time.Millisecond
)

// AwaitServer returns when a server answers, or with the reason why it does not.
func AwaitServer(ctx context.Context, server RunningServer, log *zap.Logger) error {
	limit := time.Now().Add(answerWithin)
	for waiting := false; ; waiting = true {
		err := server.Ping(ctx)
		if err == nil || pipeline.ClassOf(err) == pipeline.Fatal || time.Now().After(limit) {
			return err // what is fatal has answered, and does not change by waiting
		}
		if !waiting {
			log.Info("waiting for Ollama to answer", zap.String("server", server.URL))
		}
		if err := outage.Sleep(ctx, answerPause); err != nil {
			return err
		}
	}
}

// AreSimulated reports whether the servers only pretend to have models. Either all do, or none.
func AreSimulated(ctx context.Context, servers []RunningServer) (simulated bool, err error) {
	for i, server := range servers {
		said, err := server.Identify(ctx)
		switch {
		case err != nil:
			return false, err
		case i > 0 && said.Simulated != simulated:
			return false, fmt.Errorf("of %s and %s one is simulated and the other is not: use them for different runs", servers[0].URL, server.URL)
		}
		simulated = said.Simulated
	}
	return simulated, nil
}

// LoadModel loads a model on all servers at once and returns what each of them then says of it.
// All have to have the model. Whether it is the run's is seen at work.
func LoadModel(ctx context.Context, servers []RunningServer, model string) ([]pipeline.ModelInfo, error) {
	models := make([]pipeline.ModelInfo, len(servers))
	group, loading := errgroup.WithContext(ctx)
	for i, server := range servers {
		group.Go(func() (err error) {
			if _, err := server.Describe(loading, model); err != nil { // it names the models that are there
				return err
			}
			if err := server.WarmUp(loading, model); err != nil {
				return err
			}
			models[i], err = server.Describe(loading, model) // the context's length is known once it is loaded
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return models, nil
}
