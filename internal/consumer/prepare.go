package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/pipeline"
)

// A depot is where all servers of a consumer have their models: the first of them gets the model,
// the others start when it is there.
type depot struct {
	turn  chan struct{} // held by the one who looks whether it is there, and gets it
	there chan struct{} // closed when it is
}

func newDepot() *depot {
	return &depot{turn: make(chan struct{}, 1), there: make(chan struct{})}
}

// enter waits until the model is there or it is the caller's turn to get it; waits is called
// first if that is not so at once. The caller has to call the function that it returns, with
// whether the model is there now; further calls do nothing.
func (d *depot) enter(ctx context.Context, waits func()) (leave func(got bool), err error) {
	select {
	case <-d.there:
		return func(bool) {}, nil
	case d.turn <- struct{}{}:
	default:
		waits()
		select {
		case <-d.there:
			return func(bool) {}, nil
		case d.turn <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	mine := true
	return func(got bool) {
		if !mine {
			return
		}
		mine = false
		select {
		case <-d.there: // it was already
		default:
			if got {
				close(d.there)
			}
		}
		<-d.turn
	}, nil
}

const (
	canaryWithin  = time.Minute      // a first word, for which the GPU may still have to make itself ready
	reviveWithin  = 10 * time.Second // a word from a server that stalled; one that hangs needs twice as long to notice
	progressEvery = 5 * time.Second  // between two lines about a pull
)

// prepare takes a server through all states until it may serve.
func (k *keeper) prepare(ctx context.Context, server Server, leave func(got bool)) (pipeline.ModelInfo, error) {
	if err := server.Answer(ctx); err != nil {
		return pipeline.ModelInfo{}, err
	}
	fetched, err := server.Provide(ctx, k.model, k.progress())
	if err != nil {
		return pipeline.ModelInfo{}, err
	}
	if fetched {
		k.log.Info("the model is there", zap.String("model", k.model))
	}
	leave(true)
	k.state(pipeline.GPULoading)
	if err := server.WarmUp(ctx, k.model); err != nil {
		return pipeline.ModelInfo{}, err
	}
	k.state(pipeline.GPUVerifying)
	loaded, err := server.Loaded(ctx, k.model)
	if err != nil {
		return pipeline.ModelInfo{}, err
	}
	if err := k.onGPU(loaded); err != nil {
		return pipeline.ModelInfo{}, err
	}
	return loaded, k.word(ctx, server, canaryWithin)
}

// progress returns what is called while the model is on its way. It says so every few seconds, in
// a line of its own.
func (k *keeper) progress() func(status string, done, total int64) {
	var last time.Time
	return func(status string, done, total int64) {
		if last.IsZero() {
			k.state(pipeline.GPUPulling)
		} else if time.Since(last) < progressEvery {
			return
		}
		last = time.Now()
		fields := []zap.Field{zap.String("model", k.model), zap.String("step", cut(status, maxState))}
		detail := ""
		if total > 0 {
			detail = fmt.Sprintf("%d %%", 100*done/total)
			fields = append(fields, zap.String("done", fmt.Sprintf("%.1f of %.1f MB (%d %%)", float64(done)/1e6, float64(total)/1e6, 100*done/total)))
		}
		k.g.close(pipeline.GPUPulling, detail, false)
		k.log.Info("getting the model", fields...)
	}
}

// onGPU returns an error unless the whole model is in the GPU's memory, or it need not be.
func (k *keeper) onGPU(loaded pipeline.ModelInfo) error {
	switch {
	case k.care.AllowCPU || loaded.OnGPUBytes > 0 && loaded.OnGPUBytes >= loaded.SizeBytes:
		return nil
	case loaded.OnGPUBytes == 0:
		return pipeline.Fail(pipeline.Retryable, "the model runs on the CPU: the server does not see the GPU, its log says why")
	}
	return pipeline.Fail(pipeline.Retryable, "%w: only %.0f of %.0f MB of the model fit", pipeline.ErrMemory, float64(loaded.OnGPUBytes)/1e6, float64(loaded.SizeBytes)/1e6)
}

// word asks a server for a few tokens.
func (k *keeper) word(ctx context.Context, server Server, within time.Duration) error {
	limited, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	_, err := server.Generate(limited, pipeline.Request{Model: k.model, Messages: pipeline.User("Hello"), Seed: 1, Options: pipeline.Options{NumPredict: 4}})
	if err != nil && !pipeline.ClassOf(err).IsOutcome() {
		return fmt.Errorf("the first word: %w", err)
	}
	return nil // an answer that was cut off or makes no sense is one, too
}

// revive asks a server that stalled, and from which every request was taken, whether it is there
// again.
func (k *keeper) revive(ctx context.Context, server Server) error {
	ctx, cancel := context.WithTimeout(ctx, reviveWithin)
	defer cancel()
	k.state(pipeline.GPULoading)
	if err := server.WarmUp(ctx, k.model); err != nil {
		return err
	}
	return k.word(ctx, server, reviveWithin)
}

// because returns the error of a server's preparation, with how the server ended if that is the
// reason.
func because(server Server, err error) error {
	patience := time.NewTimer(time.Second) // a broken connection is heard of before the end of the process
	defer patience.Stop()
	var ended error
	select {
	case <-server.Exited():
		ended = server.Ended()
	case <-patience.C:
	}
	if ended == nil || errors.Is(err, ended) {
		return err
	}
	return fmt.Errorf("%w: %w", ended, err)
}
