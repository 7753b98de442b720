package consumer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/pipeline"
)

// A Server is a model server that the consumer started for one GPU. Its errors have a class, see
// pipeline.ClassOf.
type Server interface {
	model
	preparation
	vitals

	// Stop ends it and everything that it started, and returns when nothing of it is left.
	Stop() error
	// Log returns the last lines of its log.
	Log() []string
}

// preparation is what makes a server ready for work, in this order.
type preparation interface {
	// Answer waits until the server answers at all.
	Answer(ctx context.Context) error
	// Provide gets the model if it is not there, and reports whether that was so. Progress is
	// called often.
	Provide(ctx context.Context, model string, progress func(status string, done, total int64)) (bool, error)
	// WarmUp loads the model.
	WarmUp(ctx context.Context, model string) error
	// Loaded says how it is loaded.
	Loaded(ctx context.Context, model string) (pipeline.ModelInfo, error)
}

// vitals are the signs by which a server is watched.
type vitals interface {
	Ping(ctx context.Context) error
	// Chunks is how many pieces of answers have come in all.
	Chunks() int64
	// Exited is closed when the process has ended, and then Ended says how.
	Exited() <-chan struct{}
	Ended() error
}

// prepares reports whether the GPU's server is on its way to serving.
func (g *lane) prepares() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state.Preparing()
}

// errDown says that the GPU's server is not there at the moment.
var errDown = errors.New("the server is being restarted")

// A keeper keeps the server of one GPU alive: it starts it, lets work in only while it serves,
// watches it, and starts it anew when something is wrong. It stands in for the model, whichever
// server that is just now.
type keeper struct {
	g      *lane
	launch func(ctx context.Context, slots int) (Server, error)
	model  string
	care   Care
	depot  *depot
	said   func(pipeline.ModelInfo) // hears of every server that serves
	log    *zap.Logger

	record record
	tempo  tempo

	mu   sync.Mutex
	life *life // nil while nothing is served
}

// A life is the time in which a server serves.
type life struct {
	server  Server
	ctx     context.Context
	cancel  context.CancelCauseFunc // ends all requests
	flights sync.WaitGroup
	began   time.Time

	mu       sync.Mutex
	inFlight int
	answers  int
	crashed  []time.Time // the runner did, within the last crashWindow
	failed   chan error  // the first reason why the server has to be started anew
}

// Generate has the server answer if there is one. When it is taken away meanwhile the failure is
// Retryable.
func (k *keeper) Generate(ctx context.Context, request pipeline.Request) (pipeline.Completion, error) {
	k.mu.Lock()
	l := k.life
	if l == nil {
		k.mu.Unlock()
		return pipeline.Completion{}, pipeline.Fail(pipeline.Retryable, "%s: %w", k.g.Name, errDown)
	}
	l.flights.Add(1)
	k.mu.Unlock()
	defer l.flights.Done()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(l.ctx, func() { cancel(context.Cause(l.ctx)) })()
	l.takeOff()
	completion, err := l.server.Generate(ctx, request)
	if l.land(err) {
		k.log.Warn("the server's runner crashed, its requests are tried again", zap.Error(err))
	}
	return completion, err
}

// run keeps the GPU's server until ctx ends. Then it returns nil, else the reason for which it
// has given up.
func (k *keeper) run(ctx context.Context) error {
	for {
		served, err := k.once(ctx)
		if ctx.Err() != nil {
			return nil
		}
		slots := k.g.MaxSlots()
		verdict := k.record.judge(err, served, slots)
		if verdict.giveUp {
			err = fmt.Errorf("%s is given up: %w", k.g.Name, err)
			k.g.close(pipeline.GPUGivenUp, err.Error(), true)
			k.log.Error("this GPU is given up", zap.Error(err))
			return err
		}
		if verdict.slots != slots {
			k.log.Warn("the GPU's memory is too small: its server gets fewer slots", zap.Int("slots", verdict.slots), zap.Int("before", slots))
			k.g.LimitSlots(verdict.slots)
		}
		k.g.close(pipeline.GPURestarting, err.Error(), false)
		k.log.Warn("the server is started anew", zap.Error(err), zap.Duration("after", verdict.rest), zap.Int("failures_in_a_row", k.record.bad))
		if !sleep(ctx, verdict.rest) {
			return nil
		}
	}
}

// once starts a server and keeps it until it fails or ctx ends. Nothing is left of it when it
// returns.
func (k *keeper) once(ctx context.Context) (served service, err error) {
	leave, err := k.depot.enter(ctx, func() { k.state(pipeline.GPUWaiting) })
	if err != nil {
		return service{}, err
	}
	defer leave(false)
	k.state(pipeline.GPUStarting)
	server, err := k.launch(ctx, k.g.MaxSlots())
	if err != nil {
		return service{}, err
	}
	defer func() {
		if err != nil && ctx.Err() == nil {
			for _, line := range server.Log() {
				k.log.Warn("the server's log", zap.String("line", line))
			}
		}
		if stopped := server.Stop(); stopped != nil {
			k.log.Error("ending the server", zap.Error(stopped))
			err = errors.Join(err, stopped)
		}
	}()
	loaded, err := k.prepare(ctx, server, leave)
	if err != nil {
		if ctx.Err() == nil {
			err = because(server, err)
		}
		return service{}, err
	}
	k.said(loaded)
	for {
		l := k.open(server, loaded)
		err := k.watch(ctx, l)
		k.shut(l, err)
		served.lasted += time.Since(l.began)
		served.answers += l.answers
		if ctx.Err() != nil || !errors.Is(err, pipeline.ErrStalled) {
			return served, err
		}
		if again := k.revive(ctx, server); again != nil {
			return served, fmt.Errorf("%w; asked for a word, it does not recover: %w", err, again)
		}
		k.log.Info("the server answers again")
	}
}

// open lets work in.
func (k *keeper) open(server Server, loaded pipeline.ModelInfo) *life {
	l := &life{server: server, began: time.Now(), failed: make(chan error, 1)}
	l.ctx, l.cancel = context.WithCancelCause(context.Background())
	k.mu.Lock()
	k.life = l
	k.mu.Unlock()
	k.g.open(loaded.Context)
	k.log.Info("serving", zap.Int("slots", k.g.MaxSlots()), zap.Int("context", loaded.Context))
	return l
}

// shut keeps work out, ends the requests that are in flight and waits for them.
func (k *keeper) shut(l *life, why error) {
	k.state(pipeline.GPUDraining)
	k.mu.Lock()
	k.life = nil
	k.mu.Unlock()
	// Not that it stalled or crashed: none of these requests is suspected for it.
	l.cancel(pipeline.Fail(pipeline.Retryable, "%s: %w: %v", k.g.Name, errDown, why))
	l.flights.Wait()
}

// state keeps the GPU closed and says what it is doing.
func (k *keeper) state(state pipeline.GPUState) {
	k.g.close(state, "", false)
	k.log.Info("state", zap.String("state", string(state)))
}
