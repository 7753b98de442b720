package supervise

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/pipeline"
	"gleaner/internal/text"
)

const (
	smokeTestWithin = 10 * time.Minute // what a load may take: some servers load the model again for their first word
	recoverWithin   = 10 * time.Second // a server that still hangs needs twice as long to notice
	exitWithin      = time.Second      // a broken connection is noticed before the exit of the process
	progressEvery   = 5 * time.Second  // between two lines about a pull
	maxStepBytes    = 1 << 10          // of a server's text about a pull
)

// prepare takes a server through all states until it may serve. It calls release when the model is
// there.
func (s *Supervisor) prepare(ctx context.Context, server Server, release func(fetched bool)) (pipeline.ModelInfo, error) {
	if err := server.WaitReady(ctx); err != nil {
		return pipeline.ModelInfo{}, err
	}
	fetched, err := server.FetchModel(ctx, s.cfg.Model, s.fetchProgress())
	if err != nil {
		return pipeline.ModelInfo{}, err
	}
	if fetched {
		s.log.Info("the model is there", zap.String("model", s.cfg.Model))
	}
	release(true)
	s.enter(pipeline.GPULoading)
	if err := server.WarmUp(ctx, s.cfg.Model); err != nil {
		return pipeline.ModelInfo{}, err
	}
	s.enter(pipeline.GPUVerifying)
	loaded, err := server.Loaded(ctx, s.cfg.Model)
	if err != nil {
		return pipeline.ModelInfo{}, err
	}
	if err := s.cfg.Checks.onGPU(loaded); err != nil {
		return pipeline.ModelInfo{}, err
	}
	return loaded, smokeTest(ctx, server, s.cfg.Model, smokeTestWithin)
}

// fetchProgress returns the function that a server calls while it fetches the model. It logs a line
// every few seconds.
func (s *Supervisor) fetchProgress() func(status string, done, total int64) {
	var last time.Time
	return func(status string, done, total int64) {
		if last.IsZero() {
			s.enter(pipeline.GPUPulling)
		} else if time.Since(last) < progressEvery {
			return
		}
		last = time.Now()
		fields := []zap.Field{zap.String("model", s.cfg.Model), zap.String("step", text.Shorten(status, maxStepBytes))}
		detail := ""
		if total > 0 {
			detail = fmt.Sprintf("%d %%", 100*done/total)
			fields = append(fields, zap.String("done", fmt.Sprintf("%.1f of %.1f MB (%d %%)", float64(done)/1e6, float64(total)/1e6, 100*done/total)))
		}
		s.admission.Close(pipeline.GPUPulling, detail)
		s.log.Info("getting the model", fields...)
	}
}

// tryRecovery checks whether a server that stalled, and that has no requests any more, works again.
func (s *Supervisor) tryRecovery(ctx context.Context, server Server) error {
	ctx, cancel := context.WithTimeout(ctx, recoverWithin)
	defer cancel()
	s.enter(pipeline.GPULoading)
	if err := server.WarmUp(ctx, s.cfg.Model); err != nil {
		return err
	}
	return smokeTest(ctx, server, s.cfg.Model, recoverWithin)
}

// smokeTest asks a server for a few tokens. An answer that was cut off or makes no sense will do.
func smokeTest(ctx context.Context, server Server, model string, within time.Duration) error {
	limited, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	_, err := server.Generate(limited, pipeline.Request{Model: model, Messages: pipeline.User(pipeline.CanaryPrompt), Seed: 1, Options: pipeline.Options{NumPredict: 4}})
	if err != nil && !pipeline.ClassOf(err).IsOutcome() {
		return fmt.Errorf("the first word: %w", err)
	}
	return nil
}

// withExit returns the error of a server's preparation, with how the process exited if that is the
// reason.
func withExit(server Server, err error) error {
	limit := time.NewTimer(exitWithin)
	defer limit.Stop()
	var exited error
	select {
	case <-server.Exited():
		exited = server.ExitError()
	case <-limit.C:
	}
	if exited == nil || errors.Is(err, exited) {
		return err
	}
	return fmt.Errorf("%w: %w", exited, err)
}
