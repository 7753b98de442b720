package supervise

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

// HealthChecks says how a server is checked. Zero values mean the defaults.
type HealthChecks struct {
	PingEvery time.Duration // default 5 s
	AllowCPU  bool          // serve also where the model is not in the GPU's memory; for tests
}

func (c HealthChecks) withDefaults() (HealthChecks, error) {
	if c.PingEvery == 0 {
		c.PingEvery = 5 * time.Second
	}
	if c.PingEvery < time.Millisecond {
		return c, fmt.Errorf("supervise: a ping every %s is too short", c.PingEvery)
	}
	return c, nil
}

// onGPU returns an error unless the whole model is in the GPU's memory, or need not be.
func (c HealthChecks) onGPU(loaded pipeline.ModelInfo) error {
	switch {
	case c.AllowCPU || loaded.OnGPUBytes >= loaded.SizeBytes: // also where the server does not know the sizes
		return nil
	case loaded.OnGPUBytes == 0:
		return pipeline.Fail(pipeline.Retryable, "the model runs on the CPU: the server does not see the GPU, its log says why")
	}
	return pipeline.Fail(pipeline.Retryable, "%w: only %.0f of %.0f MB of the model fit", pipeline.ErrMemory, float64(loaded.OnGPUBytes)/1e6, float64(loaded.SizeBytes)/1e6)
}

const (
	maxMissedPings = 3 // in a row
	pingsPerCheck  = 6 // with every sixth ping the place of the model is checked
)

var (
	errSlow = errors.New("it has become as slow as a CPU")
	errMute = errors.New("it does not answer any more")
)

// A checker runs the health checks of a server, one session after the other.
type checker struct {
	checks HealthChecks
	model  string
	speed  *speedMonitor
}

// watch returns the error that ends a session, or nil when ctx ends.
func (c *checker) watch(ctx context.Context, s *session) error {
	ctx, cancel := context.WithCancel(ctx)
	found := make(chan error, 2) // one result of each of the two
	var running sync.WaitGroup
	running.Go(func() { found <- c.watchSpeed(ctx, s) })
	running.Go(func() { found <- c.ping(ctx, s.server) })
	defer running.Wait()
	defer cancel()
	select {
	case <-s.server.Exited():
		return s.server.ExitError()
	case err := <-s.failed:
		return err
	case err := <-found:
		return err
	case <-ctx.Done():
		return nil
	}
}

// watchSpeed checks how fast tokens come.
func (c *checker) watchSpeed(ctx context.Context, s *session) error {
	c.speed.begin(time.Now(), s.server.Chunks())
	for outage.Sleep(ctx, time.Second) == nil {
		if c.speed.isSlow(time.Now(), s.server.Chunks(), s.load()) {
			return fmt.Errorf("%w: less than a quarter of its speed for %s", errSlow, slowWindows*speedWindow)
		}
	}
	return nil
}

// ping checks that the server answers, and that the model still is where it was.
func (c *checker) ping(ctx context.Context, server Server) error {
	for missed, pings := 0, 1; outage.Sleep(ctx, c.checks.PingEvery) == nil; pings++ {
		limited, cancel := context.WithTimeout(ctx, max(c.checks.PingEvery, time.Second))
		err := server.Ping(limited)
		if err == nil && pings%pingsPerCheck == 0 {
			// A model that is not loaded at the moment, after a crash, comes back with the next
			// request.
			if loaded, unknown := server.Loaded(limited, c.model); unknown == nil {
				if moved := c.checks.onGPU(loaded); moved != nil {
					cancel()
					return moved
				}
			}
		}
		cancel()
		switch missed++; {
		case err == nil:
			missed = 0
		case missed >= maxMissedPings && ctx.Err() == nil:
			return fmt.Errorf("%w: %w", errMute, err)
		}
	}
	return nil
}
