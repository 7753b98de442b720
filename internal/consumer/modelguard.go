package consumer

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"gleaner/internal/advice"
	"gleaner/internal/pipeline"
)

// A ModelReporter is a server that says what it has loaded.
type ModelReporter interface {
	// Loaded returns what the server says of a model that it has loaded, or a failure.
	Loaded(ctx context.Context, model string) (pipeline.ModelInfo, error)
}

// A modelDescriber says what a name stands for, also while that is not loaded.
type modelDescriber interface {
	Describe(ctx context.Context, model string) (pipeline.ModelInfo, error)
}

// A modelGuard knows which model a lane's server has, and keeps the lane from working with another
// one than the run's. A name is not a model: what it stands for may change at any time, so the
// server is asked when a batch is taken and once more before its answers are published.
type modelGuard struct {
	name    string // of the model
	server  Generator
	run     *runWatch
	breaker *breaker
	another func() // called when the server has become another one; nil: nothing

	turn chan struct{} // holds a value while the server is asked

	mu    sync.Mutex
	known pipeline.ModelInfo
	asked time.Time // when the last question began that was not broken off
}

func newModelGuard(cfg Config, gpu LaneConfig, run *runWatch, breaker *breaker) *modelGuard {
	return &modelGuard{name: cfg.Identity.Model, server: gpu.Backend, known: gpu.Model, run: run, breaker: breaker, turn: make(chan struct{}, 1)}
}

// Known returns what the server said last. What is zero is not known.
func (m *modelGuard) Known() pipeline.ModelInfo {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.known
}

// Set takes in what the server said of a model that was loaded just now.
func (m *modelGuard) Set(loaded pipeline.ModelInfo) {
	m.mu.Lock()
	m.known = loaded
	m.mu.Unlock()
	m.Judge()
}

// Look asks the server what it has, and returns what is known then: if it does not answer within
// lookWithin, what it said last. Those that come while another asks share what comes of the next
// question, since the open one may be older than the answers that they want to publish. So one
// question is open at a time, and a worker waits for two at most.
func (m *modelGuard) Look(ctx context.Context) pipeline.ModelInfo {
	reporter, can := m.server.(ModelReporter)
	if !can {
		return m.Known()
	}
	came := time.Now()
	select {
	case m.turn <- struct{}{}:
		defer func() { <-m.turn }()
	case <-ctx.Done():
		return m.Known()
	}
	m.mu.Lock()
	fresh := m.asked.After(came)
	m.mu.Unlock()
	if !fresh {
		m.ask(ctx, reporter)
	}
	return m.Known()
}

// ask asks the server. A question that was broken off with its asker is none.
func (m *modelGuard) ask(ctx context.Context, reporter ModelReporter) {
	began := time.Now()
	info, err := m.describe(ctx, reporter)
	if err != nil && ctx.Err() != nil {
		return
	}
	m.mu.Lock()
	m.asked = began
	another := err == nil && m.another != nil && (differ(info.Digest, m.known.Digest) || differ(info.ServerVersion, m.known.ServerVersion))
	if err == nil {
		info.Engine, info.Template = cmp.Or(info.Engine, m.known.Engine), cmp.Or(info.Template, m.known.Template)
		info.Context = cmp.Or(info.Context, m.known.Context)
		m.known = info
	}
	m.mu.Unlock()
	if another {
		m.another()
	}
	if err == nil {
		m.Judge()
	}
}

// differ reports whether two texts are known and not the same.
func differ(a, b string) bool { return a != "" && b != "" && a != b }

// describe returns what the server says within the time for a question.
func (m *modelGuard) describe(ctx context.Context, reporter ModelReporter) (pipeline.ModelInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	info, err := reporter.Loaded(ctx, m.name)
	if describer, can := m.server.(modelDescriber); err != nil && can && ctx.Err() == nil {
		// Not loaded at the moment: the next request loads what the name stands for now.
		info, err = describer.Describe(ctx, m.name)
		info.Context = m.Known().Context // certain only once it is loaded
	}
	return info, err
}

// Confirm returns nil if answers of a model may be published: the server still has it, and it is
// the run's.
func (m *modelGuard) Confirm(ctx context.Context, began pipeline.ModelInfo) error {
	switch now := m.Look(ctx); {
	case digestOf(began) != "" && digestOf(now) != digestOf(began):
		return fmt.Errorf("%w: model %s was %s when the batch was taken and is %s now, so it is not known which of them answered",
			errSetAside, m.name, pipeline.ShortDigest(digestOf(began)), pipeline.ShortDigest(digestOf(now)))
	case m.problem(now) != "":
		return fmt.Errorf("%w: %s", errSetAside, m.problem(now))
	}
	return nil
}

// Judge holds the lane, or releases it, by what is known of its model and of the run.
func (m *modelGuard) Judge() {
	if problem := m.problem(m.Known()); problem != "" {
		m.breaker.Hold(holdModel, problem)
		return
	}
	m.breaker.Release(holdModel)
}

// Unpinned reports whether the run has no pin for the engine of this server.
func (m *modelGuard) Unpinned(info pipeline.RunInfo) bool {
	engine := m.Known().Engine
	return engine != "" && info.Pins[engine] == ""
}

// problem says why a model is not the one of which the run's answers are; nothing if it may be.
func (m *modelGuard) problem(has pipeline.ModelInfo) string {
	run := m.run.Info()
	switch {
	case run.Run == "" || has.Engine == "": // not known
	case has.Simulated && !run.Simulated:
		return fmt.Sprintf("this server is simulated, and run %s wants a real model", run.Run)
	case run.Simulated && !has.Simulated:
		return fmt.Sprintf("run %s is for simulated servers, and this one has real models", run.Run)
	}
	if unfit := Unfit(run, has); unfit != "" {
		return unfit
	}
	pin, digest := run.Pins[has.Engine], digestOf(has)
	if pin == "" || pin == pipeline.PinAny || digest == "" || digest == pin {
		return ""
	}
	return fmt.Sprintf("model %s is %s on this server, and the answers of run %s are made by %s: load that one here%s",
		m.name, pipeline.ShortDigest(digest), run.Run, pipeline.ShortDigest(pin), pipeline.OrPin(advice.Command("pin", "--run", run.Run, digest), has.Engine, digest))
}

// Watch looks again now and then until ctx ends, and more often while the lane is held: nothing
// else shows that the model is the right one again.
func (m *modelGuard) Watch(ctx context.Context) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			m.loadAgain(ctx)
			m.Look(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// loadAgain loads the model if the lane is held because its context is too small: a server that was
// started again with a larger one says so only once the model is loaded, and no request comes that
// would load it.
func (m *modelGuard) loadAgain(ctx context.Context) {
	server, can := m.server.(interface {
		WarmUp(ctx context.Context, model string) error
	})
	if can && tooSmall(m.run.Info(), m.Known()) {
		_ = server.WarmUp(ctx, m.name) // what is loaded says the look that follows
	}
}

const (
	lookEvery  = 30 * time.Second // between two questions what a server has, besides for each batch
	lookWithin = 3 * time.Second  // that a question may take: a batch waits for it
)

// digestOf returns what a model is pinned by: its digest, or where the server has none the name
// that it reports.
func digestOf(m pipeline.ModelInfo) string { return cmp.Or(m.Digest, m.Name) }
