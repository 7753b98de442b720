package consumer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/autotune"
	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
	"gleaner/internal/supervise"
)

// ErrNoGPU says that all GPUs were given up, since their servers do not work.
var ErrNoGPU = errors.New("no GPU is left")

// A Consumer runs one set of workers for each GPU.
type Consumer struct {
	cfg        Config
	mu         sync.Mutex // guards cfg.Identity
	publisher  OutcomePublisher
	lanes      []*lane
	sources    []*source // of the lane with the same index, as below
	collectors []*collector
	run        *runWatch
	overload   *overload
	news       chan struct{} // holds a value while others should learn at once how the GPUs are
	log        *zap.Logger
	cutoff     time.Time // see Config.cutoff
}

// New returns a consumer for these GPUs, which counts as started now. It calls queue for each GPU,
// which gets one of its own.
func New(cfg Config, queue func() WorkQueue, publisher OutcomePublisher, gpus []LaneConfig) (*Consumer, error) {
	switch {
	case queue == nil || publisher == nil:
		return nil, errors.New("consumer: needs a queue of work and a publisher")
	case len(gpus) == 0:
		return nil, errors.New("consumer: no GPU")
	}
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	cutoff, publishing := cfg.cutoff()
	c := &Consumer{
		cfg: cfg, publisher: publisher, log: cfg.Log, cutoff: cutoff,
		run: newRunWatch(cfg.Info, cfg.Known, cfg.Log), news: make(chan struct{}, 1),
	}
	c.run.every, c.run.tell, c.run.gone, c.run.lease, c.run.over = c.askAgain, c.judge, cfg.Gone, cfg.Lease, func(error) {}
	fetch := supervise.NewModelFetch()
	for i, gpu := range gpus {
		if err := gpu.validate(i); err != nil {
			return nil, err
		}
		l := newLane(gpu, cfg, c.run)
		l.breaker.others = func() bool { return c.othersServe(l) }
		l.breaker.onChange = c.tellAndAsk
		if gpu.Launch != nil {
			if err := c.supervise(l, gpu, fetch); err != nil {
				return nil, err
			}
		}
		c.lanes = append(c.lanes, l)
		c.sources = append(c.sources, &source{queue(), cfg.Lease, cfg.Log})
		c.collectors = append(c.collectors, &collector{
			publisher: publisher, lane: l, rest: cfg.Rest, grace: publishing, log: l.log,
		})
	}
	total, inUse := c.slots()
	c.overload = newOverload(total, inUse, cfg.Lag, cfg.Log)
	for _, l := range c.lanes {
		l.overload = c.overload
		l.resize()
	}
	c.judge()
	return c, nil
}

// slots returns how many slots there are, and how many of them are in use.
func (c *Consumer) slots() (total int, inUse func() int) {
	for _, l := range c.lanes {
		total += l.workers - spareBatches
	}
	return total, func() int {
		busy := 0
		for _, l := range c.lanes {
			n, _ := l.slots.InUse()
			busy += n
		}
		return busy
	}
}

// supervise gives a lane a supervisor, which stands for its server.
func (c *Consumer) supervise(l *lane, gpu LaneConfig, fetch *supervise.ModelFetch) error {
	supervisor, err := supervise.New(supervise.Config{
		Name: gpu.Name, Model: c.cfg.Identity.Model, Launch: gpu.Launch,
		Checks: c.cfg.HealthChecks, Fetch: fetch, Log: l.log,
		Ready: func(loaded pipeline.ModelInfo) { c.identify(l, loaded) },
	}, l)
	if err != nil {
		return err
	}
	l.supervisor, l.model.server = supervisor, supervisor
	l.requests.use(supervisor)
	l.requests.hangs = supervisor.Stalled
	return nil
}

// identify records what a lane's server says of itself and of its model.
func (c *Consumer) identify(l *lane, loaded pipeline.ModelInfo) {
	c.mu.Lock()
	c.cfg.Identity.ServerVersion, c.cfg.Identity.Digest, c.cfg.Identity.Simulated = loaded.ServerVersion, loaded.Digest, loaded.Simulated
	c.mu.Unlock()
	l.model.Set(loaded)
	c.sayDifferences()
}

// Run takes work until ctx ends or it ends by itself, see Config. Then it finishes what fits into
// the grace, or into the time until the deadline, publishes what is finished and hands back the
// rest. It returns nil after a clean stop, also where the deadline left no time, ErrCut if a stop
// had to cut something, ErrNoGPU if all GPUs were given up, and ErrRunOver with the reason if the
// run was cancelled or deleted. Nothing is left then of the
// servers that it started. The order in which it ends stands at shutdown.
func (c *Consumer) Run(ctx context.Context) error {
	end, release := newShutdown(ctx, c.cfg.Grace, c.cutoff)
	defer release()
	helpers, servers := newBackground(ctx), newBackground(ctx)
	stop, err := c.hearNews(end)
	if err != nil {
		return err
	}
	defer stop()
	helpers.Go(c.report)
	helpers.Go(c.run.Run)
	helpers.Go(func(ctx context.Context) {
		c.overload.Run(ctx, func() {
			for _, l := range c.lanes {
				l.resize()
			}
		})
	})
	helpers.Go(func(context.Context) { c.endWithoutWork(end) })
	c.runSupervisors(servers, end)
	var workers sync.WaitGroup
	for i, l := range c.lanes {
		taking, retire := context.WithCancelCause(end.taking)
		defer retire(nil)
		if !c.cutoff.IsZero() {
			helpers.Go(func(context.Context) {
				if l.awaitLastBatch(taking, c.cutoff, c.cfg.Deadline) {
					retire(errDeadline)
				}
			})
		}
		helpers.Go(l.requests.watch)
		if l.auto {
			helpers.Go(func(ctx context.Context) { autotune.Run(ctx, l, l.meter, c.cutoff, l.log) })
		}
		helpers.Go(l.model.Watch)
		helpers.Go(l.watchPrompts)
		helpers.Go(func(ctx context.Context) { l.proveItself(ctx, c.tellOthers) })
		w := &worker{c.sources[i], l, c.others(l), c.collectors[i], c.cutoff}
		for range l.workers {
			workers.Go(func() { w.run(taking, end.working) })
		}
	}
	workers.Wait()
	cause := context.Cause(end.taking)
	servers.Stop()
	end.NoWork(nil) // for the helpers that wait for the end
	helpers.Stop()
	return c.result(ctx, cause)
}

// hearNews ends taking when the run is cancelled or deleted. What is in hand then goes on.
func (c *Consumer) hearNews(end *shutdown) (stop func(), err error) {
	c.run.over = end.NoWork
	if c.cfg.News == nil {
		return func() {}, nil
	}
	return c.cfg.News(c.run.Hear)
}

// endWithoutWork ends taking when there is nothing left to do.
func (c *Consumer) endWithoutWork(end *shutdown) {
	w := &idleWatch{lanes: c.lanes, exit: c.cfg.IdleExit, stay: c.cfg.Stay, known: c.run.Info, told: c.run.ToldComplete, log: c.log}
	if c.cfg.Info != nil {
		w.info = c.run.Ask
	}
	if cause := w.Run(end.taking); cause != nil {
		end.NoWork(cause)
	}
}

// runSupervisors starts the supervisors, and stops the consumer when all GPUs are given up.
func (c *Consumer) runSupervisors(servers *background, end *shutdown) {
	var left atomic.Int64 // GPUs that are not given up
	left.Store(int64(len(c.lanes)))
	for _, l := range c.lanes {
		if l.supervisor == nil {
			continue
		}
		servers.Go(func(ctx context.Context) {
			if err := l.supervisor.Run(ctx); err != nil && left.Add(-1) == 0 {
				end.Stop(fmt.Errorf("%w: %w", ErrNoGPU, err))
			}
		})
	}
}

// result says what Run returns, and in the log why it ended by itself.
func (c *Consumer) result(ctx context.Context, cause error) error {
	if ctx.Err() == nil && errors.Is(cause, ErrNoGPU) {
		return cause
	}
	for _, collector := range c.collectors {
		if collector.cut.Load() {
			return ErrCut
		}
	}
	switch {
	case ctx.Err() != nil:
	case cause == nil: // each lane stopped taking for itself
		c.log.Info("ending in time", zap.Time("deadline", c.cfg.Deadline))
	case errors.Is(cause, errComplete), errors.Is(cause, errIdle):
		c.log.Info("ending", zap.NamedError("because", cause))
	default:
		return cause
	}
	return nil
}

// Snapshot returns what the consumer reports about itself now.
func (c *Consumer) Snapshot() pipeline.Presence {
	c.mu.Lock()
	p := c.cfg.Identity
	c.mu.Unlock()
	p.Seen, p.Deadline = time.Now().UTC(), c.cfg.Deadline
	p.Digest = cmp.Or(digestOf(c.lanes[0].model.Known()), p.Digest)
	p.GPUs = nil
	for _, l := range c.lanes {
		p.GPUs = append(p.GPUs, l.status())
	}
	return p
}

// report tells the others that this consumer is there, once a lease, when there is news, soon after
// the start, since the first report says that no slot is busy, and when it stops. A report is kept
// for three leases.
func (c *Consumer) report(ctx context.Context) {
	ticker := time.NewTicker(c.cfg.Lease)
	defer ticker.Stop()
	early := time.After(secondReport)
	for {
		c.put(ctx)
		outage.Sleep(ctx, newsPause)
		select {
		case <-ticker.C:
		case <-c.news:
		case <-early:
		case <-ctx.Done():
			for _, l := range c.lanes {
				l.breaker.Show(pipeline.GPUStopped, "")
			}
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastPresence)
			defer cancel()
			c.put(last)
			return
		}
	}
}

const (
	lastPresence = 2 * time.Second  // what the last report may take
	newsPause    = time.Second      // between two reports
	secondReport = 10 * time.Second // after the first one
)

func (c *Consumer) put(ctx context.Context) {
	if err := c.publisher.PutPresence(ctx, c.Snapshot()); err != nil && ctx.Err() == nil {
		c.log.Debug("presence", zap.Error(err))
	}
}
