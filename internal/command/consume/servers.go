package consume

import (
	"context"
	"strings"

	"go.uber.org/zap"

	"gleaner/internal/cli"
	"gleaner/internal/consumer"
	"gleaner/internal/ollama"
	"gleaner/internal/ollama/serve"
	"gleaner/internal/pipeline"
)

// servers are what generates: servers that run already, or GPUs to run servers on.
type servers struct {
	running   []consumer.RunningServer
	reserved  []*serve.Reservation
	simulated bool // they only pretend to have models
	release   func()
}

// open finds the servers that the flags name, and returns once all that run already answer. The
// caller has to call release.
func (f *serverFlags) open(ctx context.Context, log *zap.Logger) (s servers, err error) {
	if f.startsServers() {
		s.reserved, s.release, err = f.reserve(ctx, log)
		return s, err
	}
	s.release = func() {}
	if s.running, err = f.running(ctx, log); err != nil {
		return s, err
	}
	s.simulated, err = consumer.AreSimulated(ctx, s.running)
	return s, err
}

// running returns the servers that run already, all of which answer.
func (f *serverFlags) running(ctx context.Context, log *zap.Logger) ([]consumer.RunningServer, error) {
	var running []consumer.RunningServer
	seen := map[string]bool{}
	for _, url := range f.Ollama {
		client, err := ollama.New(strings.TrimSpace(url), f.client())
		if err != nil {
			return nil, err
		}
		if seen[client.URL()] {
			return nil, cli.Usage("the Ollama server %s is named twice", client.URL())
		}
		seen[client.URL()] = true
		running = append(running, consumer.RunningServer{URL: client.URL(), Backend: client})
	}
	for _, server := range running {
		if err := consumer.AwaitServer(ctx, server, log); err != nil {
			return nil, err
		}
	}
	return running, nil
}

// lanes returns the servers as the lanes of an engine, with what they say of themselves. On those
// that run already it loads the model.
func (f *serverFlags) lanes(ctx context.Context, servers servers, run pipeline.RunInfo) ([]consumer.LaneConfig, pipeline.Presence, error) {
	if f.startsServers() {
		tokens, err := f.context(run)
		if err != nil {
			return nil, pipeline.Presence{}, err
		}
		return f.lanesOf(servers.reserved, tokens), pipeline.Presence{}, nil
	}
	models, err := consumer.LoadModel(ctx, servers.running, run.Model)
	if err != nil {
		return nil, pipeline.Presence{}, err
	}
	lanes := make([]consumer.LaneConfig, len(models))
	for i, server := range servers.running {
		lanes[i] = consumer.LaneConfig{
			Name: strings.TrimPrefix(server.URL, "http://"), Backend: server.Backend, Slots: f.Slots.Most, Auto: f.Slots.Auto,
			Context: models[i].Context, Model: models[i],
		}
	}
	return lanes, pipeline.Presence{ServerVersion: models[0].ServerVersion, Digest: models[0].Digest, Simulated: servers.simulated}, nil
}
