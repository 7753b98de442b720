// Package consumer is the engine of the GPU's side: for each GPU a set of workers that take
// batches, generate their answers, publish these, then a dead letter for what cannot be answered,
// and only then release the batch.
package consumer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/autotune"
	"gleaner/internal/pipeline"
	"gleaner/internal/supervise"
)

// source hands out work. Next blocks until there is some or ctx ends.
type source interface {
	Next(ctx context.Context) (pipeline.Delivery[pipeline.Work], error)
}

// outlet takes what was generated, what could not be, and what the consumer says of itself. It
// waits, until ctx ends, while a stream is full.
type outlet interface {
	PublishResults(ctx context.Context, results pipeline.Results) error
	PublishDeadLetter(ctx context.Context, letter pipeline.DeadLetter) error
	PutPresence(ctx context.Context, consumer pipeline.Presence) error
}

// model answers one request at a time for each slot. Its errors have a class, see pipeline.ClassOf.
type model interface {
	Generate(ctx context.Context, request pipeline.Request) (pipeline.Completion, error)
}

// A GPU is one model server and what it can do at once. The server is there already, as Model, or
// the consumer runs it itself: then Launch starts it, and Model and Context are not set.
type LaneConfig struct {
	Name    string
	Model   model
	Slots   int  // generations at a time, or if Auto the most that its server can do at once
	Context int  // tokens of prompt and answer together; 0 = not known
	Auto    bool // use the number of slots with which it is fastest; it is found out at work and followed when it changes
	Launch  func(ctx context.Context, slots int) (supervise.Server, error)
}

// Config says who the consumer is and how it works. Zero values mean the defaults.
type Config struct {
	Identity pipeline.Presence // ID, Run, Host, versions, model; the engine fills in the rest
	Lease    time.Duration     // after this long without a sign of life a batch goes to somebody else; default pipeline.DefaultLease
	Grace    time.Duration     // how long work in hand may go on after a stop; default 30 s
	Rest     time.Duration     // how long a batch that failed rests the first time, doubled each time, and a GPU that has to be mended; default 30 s
	Log      *zap.Logger

	HealthChecks supervise.HealthChecks // of the servers that the consumer runs itself

	// Deadline is when Run has returned: it takes no work that would not end in time, by how long
	// batches took so far, and hands back what does not. Zero: never.
	Deadline time.Time
	// IdleExit is after how long without any work Run returns. Zero: never.
	IdleExit time.Duration
	// Complete reports whether the run has its end, so that no work will come; then Run returns.
	// It is asked while there is no work. Nil: Run waits for more.
	Complete func(ctx context.Context) (bool, error)
}

// ErrCut says that the grace was over before the work in hand was: it was handed back unfinished.
var ErrCut = errors.New("the grace was over before all work in hand was finished")

// ErrNoGPU says that all GPUs were given up, since their servers do not work.
var ErrNoGPU = errors.New("no GPU is left")

// A Consumer runs one set of workers for each GPU.
type Consumer struct {
	cfg    Config
	mu     sync.Mutex // guards cfg.Identity
	source source
	out    outlet
	lanes  []*lane
	log    *zap.Logger

	cutoff     time.Time     // when what is not finished is handed back, so that this is done by the deadline
	afterwards time.Duration // what publishing and handing back may take once working has ended
}

// New returns a consumer for these GPUs, which counts as started now.
func New(cfg Config, work source, out outlet, gpus []LaneConfig) (*Consumer, error) {
	switch {
	case work == nil || out == nil:
		return nil, errors.New("consumer: needs a source of work and an outlet")
	case len(gpus) == 0:
		return nil, errors.New("consumer: no GPU")
	case cfg.Identity.ID == "":
		return nil, errors.New("consumer: no id")
	}
	for _, d := range []struct {
		name  string
		value *time.Duration
		def   time.Duration
	}{{"lease", &cfg.Lease, pipeline.DefaultLease}, {"grace", &cfg.Grace, 30 * time.Second}, {"hand-back", &cfg.Rest, 30 * time.Second}} {
		if *d.value == 0 {
			*d.value = d.def
		}
		if *d.value < time.Millisecond {
			return nil, fmt.Errorf("consumer: a %s of %s is too short", d.name, *d.value)
		}
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	cfg.Identity.Started = time.Now().UTC()
	c := &Consumer{cfg: cfg, source: work, out: out, log: cfg.Log, afterwards: publishGrace}
	if !cfg.Deadline.IsZero() {
		kept := reserve(time.Until(cfg.Deadline))
		c.cutoff, c.afterwards = cfg.Deadline.Add(-kept), min(publishGrace, max(kept/2, time.Millisecond))
	}
	for i, g := range gpus {
		if g.Slots < 1 || (g.Model == nil) == (g.Launch == nil) {
			return nil, fmt.Errorf("consumer: GPU %d (%s): needs a model and at least one slot, has %d", i, g.Name, g.Slots)
		}
		gpu := newLane(g, cfg.Rest, cfg.Log)
		gpu.careful = !cfg.Deadline.IsZero()
		gpu.UseSlots(g.Slots) // both gates, now that it is careful or not
		c.lanes = append(c.lanes, gpu)
	}
	return c, c.supervise()
}

// supervise gives a supervisor to those lanes whose servers the consumer runs itself.
func (c *Consumer) supervise() error {
	fetch := supervise.NewModelFetch()
	for _, g := range c.lanes {
		if g.Launch == nil {
			continue
		}
		supervisor, err := supervise.New(supervise.Config{
			Name: g.Name, Model: c.cfg.Identity.Model, Launch: g.Launch,
			Checks: c.cfg.HealthChecks, Fetch: fetch, Ready: c.identify, Log: g.log,
		}, g)
		if err != nil {
			return err
		}
		g.supervisor, g.Model = supervisor, supervisor
	}
	return nil
}

// identify takes down what a server says of itself and of its model.
func (c *Consumer) identify(loaded pipeline.ModelInfo) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cfg.Identity.ServerVersion, c.cfg.Identity.Digest = loaded.ServerVersion, loaded.Digest
}

// Run takes work until ctx ends or it ends by itself, see Config. Then it finishes what fits into
// the grace, or into the time until the deadline, publishes what is finished and hands back the
// rest. It returns nil after a clean stop, also where the deadline left no time, ErrCut if a stop
// had to cut something, and ErrNoGPU if all GPUs were given up. Nothing is left then of the
// servers that it started.
func (c *Consumer) Run(ctx context.Context) error {
	able, disable := context.WithCancelCause(ctx)
	defer disable(nil)
	working, cancel := withGrace(able, c.cfg.Grace)
	defer cancel()
	if !c.cutoff.IsZero() {
		working, cancel = context.WithDeadlineCause(working, c.cutoff, errDeadline)
		defer cancel()
	}
	taking, leave := context.WithCancelCause(able)
	defer leave(nil)
	var workers, supervisors, helpers sync.WaitGroup
	helping, stopHelping := context.WithCancel(context.WithoutCancel(ctx))
	helpers.Go(func() { c.report(helping) })
	watching, stopWatching := context.WithCancel(taking)
	helpers.Go(func() { c.watch(watching, leave) })
	stopServers := c.keepServers(ctx, &supervisors, disable)
	for _, g := range c.lanes {
		taking, leave := context.WithCancelCause(taking)
		defer leave(nil)
		if !c.cutoff.IsZero() {
			helpers.Go(func() { c.retire(watching, g, leave) })
		}
		if g.Auto {
			helpers.Go(func() { autotune.Run(helping, g, g.meter, c.cutoff, g.log) })
		}
		for range g.LaneConfig.Slots + spareHands {
			workers.Go(func() { c.work(taking, working, g) })
		}
	}
	workers.Wait()
	stopServers()
	supervisors.Wait()
	stopWatching()
	stopHelping()
	helpers.Wait()
	return c.ending(ctx, context.Cause(taking))
}

// keepServers starts the supervisors, and calls disable when all GPUs are given up. They end, with
// their servers, once stop is called.
func (c *Consumer) keepServers(ctx context.Context, supervisors *sync.WaitGroup, disable context.CancelCauseFunc) (stop context.CancelFunc) {
	keeping, stop := context.WithCancel(context.WithoutCancel(ctx))
	left := make(chan struct{}, len(c.lanes)) // one for each GPU that is not given up
	for range c.lanes {
		left <- struct{}{}
	}
	for _, g := range c.lanes {
		if g.supervisor == nil {
			continue
		}
		supervisors.Go(func() {
			if err := g.supervisor.Run(keeping); err != nil {
				if <-left; len(left) == 0 {
					disable(fmt.Errorf("%w: %w", ErrNoGPU, err))
				}
			}
		})
	}
	return stop
}

// ending says what Run returns, and in the log why it ended by itself.
func (c *Consumer) ending(ctx context.Context, cause error) error {
	if ctx.Err() == nil && errors.Is(cause, ErrNoGPU) {
		return cause
	}
	for _, g := range c.lanes {
		if g.wasCut() {
			return ErrCut
		}
	}
	switch {
	case ctx.Err() != nil:
	case cause == nil: // each GPU left by itself
		c.log.Info("ending in time", zap.Time("deadline", c.cfg.Deadline))
	case errors.Is(cause, errComplete), errors.Is(cause, errIdle):
		c.log.Info("ending", zap.NamedError("because", cause))
	default:
		return cause
	}
	return nil
}

// withGrace returns a context that ends, with a cause, when the parent has ended and the grace is
// over as well.
func withGrace(parent context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(parent))
	stop := context.AfterFunc(parent, func() {
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel(fmt.Errorf("%w: %w", ErrCut, context.Cause(parent)))
		case <-ctx.Done():
		}
	})
	return ctx, func() { stop(); cancel(nil) }
}

// Snapshot returns what the consumer says of itself now.
func (c *Consumer) Snapshot() pipeline.Presence {
	c.mu.Lock()
	p := c.cfg.Identity
	c.mu.Unlock()
	p.Seen, p.Deadline = time.Now().UTC(), c.cfg.Deadline
	p.GPUs = nil
	for _, g := range c.lanes {
		p.GPUs = append(p.GPUs, g.snapshot())
	}
	return p
}

// report tells the others that this consumer is there, three times a lease, and once more when it
// goes.
func (c *Consumer) report(ctx context.Context) {
	ticker := time.NewTicker(c.cfg.Lease / 3)
	defer ticker.Stop()
	for {
		if err := c.out.PutPresence(ctx, c.Snapshot()); err != nil && ctx.Err() == nil {
			c.log.Debug("presence", zap.Error(err))
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			for _, g := range c.lanes {
				g.setState(pipeline.GPUStopped, "")
			}
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			if err := c.out.PutPresence(last, c.Snapshot()); err != nil {
				c.log.Debug("presence", zap.Error(err))
			}
			return
		}
	}
}
