package supervise

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

// An Admission decides whether a GPU takes work, as its supervisor says.
type Admission interface {
	// Open admits work: the GPU has a server whose context has this many tokens for prompt and
	// answer together (0: not known).
	Open(contextTokens int)
	// Close admits no work until Open is called; with pipeline.GPUGivenUp that is never. The state
	// and its detail, which may be empty, are for people.
	Close(state pipeline.GPUState, detail string)
	// MaxSlots returns how many slots the next server gets.
	MaxSlots() int
	// LimitSlots reduces that.
	LimitSlots(n int)
}

// Config says which server is supervised, and how.
type Config struct {
	Name   string // of the GPU, for people
	Model  string
	Launch func(ctx context.Context, slots int) (Server, error)

	Checks HealthChecks
	Fetch  *ModelFetch              // shared by all supervisors whose servers have one folder of models
	Ready  func(pipeline.ModelInfo) // called for every server before it serves; nil: nothing
	Log    *zap.Logger              // nil: nothing is logged
}

// errRestarting says that the GPU has no server at the moment.
var errRestarting = errors.New("the server is being restarted")

// A Supervisor keeps the server of one GPU alive. To those that generate it stands for the model,
// whichever server that is at the moment.
type Supervisor struct {
	cfg       Config
	admission Admission
	log       *zap.Logger

	restarts restartPolicy
	speed    speedMonitor

	mu      sync.Mutex
	session *session // nil while no server serves
}

// New returns a supervisor for one GPU. Work is not admitted before Run has a server for it.
func New(cfg Config, admission Admission) (*Supervisor, error) {
	if cfg.Launch == nil || cfg.Fetch == nil || admission == nil {
		return nil, errors.New("supervise: needs a launch, a model fetch and an admission")
	}
	checks, err := cfg.Checks.withDefaults()
	if err != nil {
		return nil, err
	}
	cfg.Checks = checks
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	if cfg.Ready == nil {
		cfg.Ready = func(pipeline.ModelInfo) {}
	}
	admission.Close(pipeline.GPUStarting, "")
	return &Supervisor{cfg: cfg, admission: admission, log: cfg.Log}, nil
}

// Generate has the server answer, if there is one. If it is taken away in the meantime the failure
// is retryable.
func (s *Supervisor) Generate(ctx context.Context, request pipeline.Request) (pipeline.Completion, error) {
	s.mu.Lock()
	current := s.session
	if current == nil {
		s.mu.Unlock()
		return pipeline.Completion{}, pipeline.Fail(pipeline.Retryable, "%s: %w", s.cfg.Name, errRestarting)
	}
	current.requests.Add(1)
	s.mu.Unlock()
	defer current.requests.Done()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(current.ctx, func() { cancel(context.Cause(current.ctx)) })()
	current.begin()
	completion, err := current.server.Generate(ctx, request)
	if current.end(err) {
		s.log.Warn("the server's runner crashed, its requests are tried again", zap.Error(err))
	}
	return completion, err
}

// Stalled says that the server brings no token, and that its requests were cancelled for it: it has
// to show that it still works, or is restarted.
func (s *Supervisor) Stalled(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session != nil {
		s.session.fail(why)
	}
}

// Run keeps the GPU's server alive until ctx ends. Then it returns nil, otherwise the reason for
// which the GPU is given up. No server is left when it returns.
func (s *Supervisor) Run(ctx context.Context) error {
	for {
		done, err := s.runServer(ctx)
		if ctx.Err() != nil {
			return nil
		}
		slots := s.admission.MaxSlots()
		next := s.restarts.decide(err, done, slots)
		if next.giveUp {
			err = fmt.Errorf("%s is given up: %w", s.cfg.Name, err)
			s.admission.Close(pipeline.GPUGivenUp, err.Error())
			s.log.Error("this GPU is given up", zap.Error(err))
			return err
		}
		if next.slots != slots {
			s.log.Warn("the GPU's memory is too small: its server gets fewer slots", zap.Int("slots", next.slots), zap.Int("before", slots))
			s.admission.LimitSlots(next.slots)
		}
		s.admission.Close(pipeline.GPURestarting, err.Error())
		s.log.Warn("the server is restarted", zap.Error(err), zap.Duration("after", next.delay), zap.Int("failures_in_a_row", s.restarts.failures))
		if outage.Sleep(ctx, next.delay) != nil {
			return nil
		}
	}
}

// runServer starts a server and keeps it until it fails or ctx ends. It stops the server before it
// returns.
func (s *Supervisor) runServer(ctx context.Context) (done service, err error) {
	release, err := s.cfg.Fetch.acquire(ctx, func() { s.enter(pipeline.GPUWaiting) })
	if err != nil {
		return service{}, err
	}
	defer release(false)
	s.enter(pipeline.GPUStarting)
	server, err := s.cfg.Launch(ctx, s.admission.MaxSlots())
	if err != nil {
		return service{}, err
	}
	defer func() {
		if err != nil && ctx.Err() == nil {
			for _, line := range server.Log() {
				s.log.Warn("the server's log", zap.String("line", line))
			}
		}
		if stopped := server.Stop(); stopped != nil {
			s.log.Error("ending the server", zap.Error(stopped))
			err = errors.Join(err, stopped)
		}
	}()
	loaded, err := s.prepare(ctx, server, release)
	if err != nil {
		if ctx.Err() == nil {
			err = withExit(server, err)
		}
		return service{}, err
	}
	s.cfg.Ready(loaded)
	checks := &checker{s.cfg.Checks, s.cfg.Model, &s.speed}
	for {
		current := s.open(server, loaded)
		err := checks.watch(ctx, current)
		s.shut(current, err)
		done.lasted += time.Since(current.began)
		done.answers += current.answers
		if ctx.Err() != nil || !errors.Is(err, pipeline.ErrStalled) {
			return done, err
		}
		if failed := s.tryRecovery(ctx, server); failed != nil {
			return done, fmt.Errorf("%w; asked for a word, it does not recover: %w", err, failed)
		}
		s.log.Info("the server answers again")
	}
}

// open begins a session and admits work.
func (s *Supervisor) open(server Server, loaded pipeline.ModelInfo) *session {
	current := newSession(server)
	s.mu.Lock()
	s.session = current
	s.mu.Unlock()
	s.admission.Open(loaded.Context)
	s.log.Info("serving", zap.Int("slots", s.admission.MaxSlots()), zap.Int("context", loaded.Context))
	return current
}

// shut ends a session: no work is admitted, and the requests in flight are ended and waited for.
func (s *Supervisor) shut(current *session, why error) {
	s.enter(pipeline.GPUDraining)
	s.mu.Lock()
	s.session = nil
	s.mu.Unlock()
	// The cause does not wrap a stall or a crash: none of these requests is suspected of it.
	current.cancel(pipeline.Fail(pipeline.Retryable, "%s: %w: %v", s.cfg.Name, errRestarting, why))
	current.requests.Wait()
}

// enter reports a state in which no work is admitted.
func (s *Supervisor) enter(state pipeline.GPUState) {
	s.admission.Close(state, "")
	s.log.Info("state", zap.String("state", string(state)))
}
