package sink

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"gleaner/internal/pipeline"
)

// A world is a stream of results, one of dead letters and a store with run r, all in memory.
type world struct {
	t     testing.TB
	begin time.Time
	queue chan pipeline.Delivery[pipeline.Results]
	dead  chan letter

	streamFault func() error            // of each read of the stream; may be nil
	deadFault   func() error            // the same of dead letters
	storeFault  func(call string) error // of each call of the store; may be nil
	keeps       bool                    // what is handed back never comes again

	mu        sync.Mutex
	runs      map[string]pipeline.Run
	batches   map[string]pipeline.Batch // by id
	stored    map[string]string         // texts by generation
	events    []event
	failed    []string // batches and rounds of calls of Fail
	asked     int      // batches that BatchesAt was asked for
	pulls     int      // reads of the stream of results
	consumers []pipeline.Presence
	kept      []pipeline.Presence
}

// An event is something that happened to a message.
type event struct {
	at     time.Duration
	what   string // write, extend, ack, hand-back, reject, compare
	msg    int
	reason string // of a reject
}

// samples of run r; its batch n has generations 4n … 4n+3.
const samples = 2

func newWorld(t testing.TB) *world {
	w := &world{
		t: t, begin: time.Now(), queue: make(chan pipeline.Delivery[pipeline.Results], 10_000), dead: make(chan letter, 10_000), stored: map[string]string{},
		runs: map[string]pipeline.Run{"r": {Name: "r", UID: "u", State: pipeline.RunOpen, Spec: pipeline.Spec{Samples: samples}}}, batches: map[string]pipeline.Batch{},
	}
	for i := range 100 {
		b := pipeline.Batch{Run: "r", Index: i, First: 4 * i, Count: 4, State: pipeline.Queued, Round: 1}
		w.batches[b.ID()] = b
	}
	return w
}

func (w *world) Results(ctx context.Context, most int, wait time.Duration) ([]pipeline.Delivery[pipeline.Results], error) {
	if w.streamFault != nil {
		if err := w.streamFault(); err != nil {
			return nil, err
		}
	}
	w.mu.Lock()
	w.pulls++
	w.mu.Unlock()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	var all []pipeline.Delivery[pipeline.Results]
	for len(all) < most {
		select {
		case d := <-w.queue:
			all = append(all, d)
		case <-timer.C:
			return all, nil
		case <-ctx.Done():
			for _, d := range all {
				w.queue <- d
			}
			return nil, ctx.Err()
		}
	}
	return all, nil
}

func (w *world) DeadLettersToMirror(ctx context.Context, most int, wait time.Duration) ([]letter, error) {
	if w.deadFault != nil {
		if err := w.deadFault(); err != nil {
			return nil, err
		}
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	var all []letter
	select {
	case d := <-w.dead:
		all = append(all, d)
	case <-timer.C:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for len(all) < most {
		select {
		case d := <-w.dead:
			all = append(all, d)
		default:
			return all, nil
		}
	}
	return all, nil
}

func (w *world) Consumers(ctx context.Context) ([]pipeline.Presence, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.consumers), ctx.Err()
}

// call is one call of the store.
func (w *world) call(ctx context.Context, name string, do func() error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if w.storeFault != nil {
		if err := w.storeFault(name); err != nil {
			return err
		}
	}
	return do()
}

func (w *world) Run(ctx context.Context, name string) (run pipeline.Run, err error) {
	err = w.call(ctx, "Run", func() error {
		var ok bool
		if run, ok = w.runs[name]; !ok {
			return pipeline.Fail(pipeline.Fatal, "run %s: %w", name, pipeline.ErrNoRun)
		}
		return nil
	})
	return run, err
}

func (w *world) BatchesAt(ctx context.Context, run string, indexes []int) (batches []pipeline.Batch, err error) {
	err = w.call(ctx, "BatchesAt", func() error {
		w.asked += len(indexes)
		for _, i := range indexes {
			if b, ok := w.batches[pipeline.BatchID(run, i)]; ok {
				batches = append(batches, b)
			}
		}
		return nil
	})
	return batches, err
}

func (w *world) WriteResults(ctx context.Context, messages []pipeline.Results, _ time.Time) (written pipeline.Written, err error) {
	err = w.call(ctx, "WriteResults", func() error {
		for _, m := range messages {
			for _, r := range m.Results {
				id := pipeline.GenerationID(m.Run, r.Item, r.Sample)
				if _, ok := w.stored[id]; ok {
					written.Duplicate++
					continue
				}
				w.stored[id] = r.Text
				written.New++
				b := w.batches[m.ID()]
				b.Done = append(b.Done, r.Index)
				b.State = b.Settle()
				w.batches[m.ID()] = b
			}
		}
		w.events = append(w.events, event{what: "write", at: time.Since(w.begin), msg: len(messages)})
		return nil
	})
	return written, err
}

func (w *world) Fail(ctx context.Context, run string, index, round int, failed []int, message string) (dead bool, err error) {
	err = w.call(ctx, "Fail", func() error {
		b, ok := w.batches[pipeline.BatchID(run, index)]
		w.failed = append(w.failed, fmt.Sprintf("%s.%d", pipeline.BatchID(run, index), round))
		if !ok || b.Round != round || b.State == pipeline.Done {
			return nil
		}
		b.Failed = append(slices.Clone(b.Failed), failed...)
		slices.Sort(b.Failed)
		b.Failed, b.Error = slices.Compact(b.Failed), message
		b.State = b.Settle()
		w.batches[b.ID()] = b
		dead = b.State == pipeline.Dead
		return nil
	})
	return dead, err
}

func (w *world) Pin(ctx context.Context, name string, engine pipeline.EngineName, from, to string) (pin string, err error) {
	err = w.call(ctx, "Pin", func() error {
		run, ok := w.runs[name]
		if !ok {
			return pipeline.Fail(pipeline.Fatal, "run %s: %w", name, pipeline.ErrNoRun)
		}
		if pin = run.Pins[engine]; pin != from {
			return nil
		}
		run.Pins = maps.Clone(run.Pins) // others may read it
		if run.Pins == nil {
			run.Pins = map[pipeline.EngineName]string{}
		}
		run.Pins[engine], pin = to, to
		w.runs[name] = run
		w.events = append(w.events, event{what: "pin", at: time.Since(w.begin), msg: -1})
		return nil
	})
	return pin, err
}

func (w *world) Refuse(ctx context.Context, run string, index, round int) (marked bool, err error) {
	err = w.call(ctx, "Refuse", func() error {
		b := w.batches[pipeline.BatchID(run, index)]
		if marked = (b.State == pipeline.Queued || b.State == pipeline.Planned) && b.Round == round; marked {
			b.Refused = round
			w.batches[b.ID()] = b
			w.events = append(w.events, event{what: "refuse", at: time.Since(w.begin), msg: -1})
		}
		return nil
	})
	return marked, err
}

func (w *world) PutConsumers(ctx context.Context, consumers []pipeline.Presence) error {
	return w.call(ctx, "PutConsumers", func() error { w.kept = consumers; return nil })
}

// message makes the results of a batch for some of its generations.
func message(batch int, indexes ...int) pipeline.Results {
	m := pipeline.Results{Run: "r", UID: "u", Batch: batch, Round: 1, Consumer: "c", GPU: "T4"}
	for _, i := range indexes {
		n := 4*batch + i
		m.Results = append(m.Results, pipeline.Result{Index: i, Item: n / samples, Sample: n % samples, Text: fmt.Sprintf("answer %d", n), Finish: "stop", OutputTokens: 10})
	}
	return m
}

// send puts a message on the stream.
func (w *world) send(number int, m pipeline.Results) {
	w.deliver(number, m, 1)
}

// deliver delivers a message for the nth time.
func (w *world) deliver(number int, m pipeline.Results, nth int) {
	w.queue <- pipeline.Delivery[pipeline.Results]{
		Body: m, Subject: fmt.Sprintf("gleaner.result.%s.%d", m.Run, m.Batch), Deliveries: nth,
		Receipt: &receipt{w, number, m, func() { w.deliver(number, m, nth+1) }},
	}
}

// of returns what happened to a message, except for its extensions.
func (w *world) of(number int) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var words []string
	for _, e := range w.events {
		if e.msg == number && e.what != "write" && e.what != "extend" {
			words = append(words, e.what)
		}
	}
	return words
}

// only returns the events of one kind.
func (w *world) only(what string) []event {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.events), func(e event) bool { return e.what != what })
}

func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// A receipt fails the test if a message is acknowledged that is not in the store.
type receipt struct {
	w       *world
	number  int
	message pipeline.Results
	again   func() // delivers it again
}

func (r *receipt) note(what, reason string) {
	r.w.events = append(r.w.events, event{at: time.Since(r.w.begin), what: what, msg: r.number, reason: reason})
}

func (r *receipt) Extend(context.Context) error {
	r.w.set(func() { r.note("extend", "") })
	return nil
}

func (r *receipt) Ack(ctx context.Context) error {
	r.w.set(func() {
		r.note("ack", "")
		for _, x := range r.message.Results {
			if _, ok := r.w.stored[pipeline.GenerationID(r.message.Run, x.Item, x.Sample)]; !ok {
				r.w.t.Errorf("message %d is acknowledged and not stored", r.number)
			}
		}
	})
	return ctx.Err()
}

func (r *receipt) HandBack(ctx context.Context, delay time.Duration) error {
	r.w.set(func() { r.note("hand-back", "") })
	if r.again != nil && !r.w.keeps {
		time.AfterFunc(delay, r.again)
	}
	return ctx.Err()
}

func (r *receipt) Reject(ctx context.Context, reason string) error {
	r.w.set(func() { r.note("reject", reason) })
	return ctx.Err()
}

// A runner is a sink that runs.
type runner struct {
	*Sink
	logs *observer.ObservedLogs
	stop context.CancelFunc
	done chan error
}

func (w *world) start(cfg Config) *runner {
	w.t.Helper()
	core, logs := observer.New(zapcore.InfoLevel)
	cfg.Log = zap.New(core)
	s, err := New(cfg, w, w)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &runner{s, logs, stop, make(chan error, 1)}
	go func() { r.done <- s.Run(ctx) }()
	return r
}

// end stops it after a while and reports what Run returned and how long that took.
func (r *runner) end(t testing.TB, after time.Duration) time.Duration {
	t.Helper()
	time.Sleep(after)
	synctest.Wait()
	begin := time.Now()
	r.stop()
	if err := <-r.done; err != nil {
		t.Errorf("Run returned %v", err)
	}
	return time.Since(begin)
}
