package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

// A world is a queue, a publisher and any number of models, and remembers all that happens in it.
type world struct {
	t       testing.TB
	begin   time.Time
	queue   chan pipeline.Delivery[pipeline.Work]
	publish func(ctx context.Context, results pipeline.Results) error   // nil: it works at once
	dying   func(ctx context.Context, letter pipeline.DeadLetter) error // what PublishDeadLetter does first; nil: nothing
	failing error                                                       // what Next returns instead of waiting; nil: nothing
	present error                                                       // what PutPresence returns
	again   func(batch int)                                             // called when a batch that was handed back has rested; may be nil

	mu        sync.Mutex
	events    []event
	asked     int // calls of Next
	held      int // batches taken and not released
	mostHeld  int
	presences []pipeline.Presence
}

// An event is something that became of a batch.
type event struct {
	at    time.Duration // since the world began
	what  string        // take, extend, publish, dead, ack, hand-back, reject
	batch int
	delay time.Duration       // of a hand-back
	sent  pipeline.Results    // of a publish
	dead  pipeline.DeadLetter // of a dead letter
}

func newWorld(t testing.TB) *world {
	return &world{t: t, begin: time.Now(), queue: make(chan pipeline.Delivery[pipeline.Work], 1000)}
}

// gpu returns the queue for one GPU: that of all.
func (w *world) gpu() WorkQueue { return w }

func (w *world) Next(ctx context.Context) (pipeline.Delivery[pipeline.Work], error) {
	w.mu.Lock()
	w.asked++
	failing := w.failing
	w.mu.Unlock()
	if failing != nil {
		return pipeline.Delivery[pipeline.Work]{}, failing
	}
	select {
	case d := <-w.queue:
		w.note(event{what: "take", batch: d.Body.Batch})
		return d, nil
	case <-ctx.Done():
		return pipeline.Delivery[pipeline.Work]{}, ctx.Err()
	}
}

func (w *world) PublishResults(ctx context.Context, results pipeline.Results) error {
	if w.publish != nil {
		if err := w.publish(ctx, results); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	w.note(event{what: "publish", batch: results.Batch, sent: results})
	return nil
}

func (w *world) PublishDeadLetter(ctx context.Context, letter pipeline.DeadLetter) error {
	if err := letter.Validate(); err != nil {
		w.t.Errorf("a dead letter that cannot be read: %v", err)
	}
	if w.dying != nil {
		if err := w.dying(ctx, letter); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	w.note(event{what: "dead", batch: letter.Batch, dead: letter})
	return nil
}

func (w *world) PutPresence(ctx context.Context, c pipeline.Presence) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.presences = append(w.presences, c)
	return errors.Join(w.present, ctx.Err())
}

func (w *world) note(e event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e.at = time.Since(w.begin)
	w.events = append(w.events, e)
	switch e.what {
	case "take":
		w.held++
		w.mostHeld = max(w.mostHeld, w.held)
	case "ack", "hand-back", "reject":
		w.held--
	}
}

// of returns what happened to a batch, without its extensions.
func (w *world) of(batch int) []event {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.events), func(e event) bool { return e.batch != batch || e.what == "extend" })
}

// only returns the events of one kind.
func (w *world) only(what string) []event {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.events), func(e event) bool { return e.what != what })
}

// story returns what happened to a batch in words.
func (w *world) story(batch int) []string {
	var words []string
	for _, e := range w.of(batch) {
		words = append(words, e.what)
	}
	return words
}

// stored returns the indexes of a batch that were published, ascending.
func (w *world) stored(batch int) []int {
	var indexes []int
	for _, e := range w.of(batch) {
		for _, r := range e.sent.Results {
			indexes = append(indexes, r.Index)
		}
	}
	slices.Sort(indexes)
	return indexes
}

// failed returns the classes of the generations in a batch's dead letters, by index.
func (w *world) failed(batch int) map[int]pipeline.Class {
	classes := map[int]pipeline.Class{}
	for _, e := range w.of(batch) {
		for _, f := range e.dead.Failures {
			classes[f.Index] = f.Class
		}
	}
	return classes
}

// holds returns how many batches are held now, and the most there ever were.
func (w *world) holds() (now, most int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.held, w.mostHeld
}

// calls returns how often work was asked for and a presence reported.
func (w *world) calls() (next, presence int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked, len(w.presences)
}

func (w *world) lastPresence() pipeline.Presence {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.presences) == 0 {
		w.t.Fatal("no presence was reported")
	}
	return w.presences[len(w.presences)-1]
}

// add puts a batch on the queue that was delivered so often, with these prompts.
func (w *world) add(batch, deliveries int, prompts ...string) {
	w.addWork(batch, deliveries, func(*pipeline.Work) {}, prompts...)
}

// addWork does that, with a change of the work.
func (w *world) addWork(batch, deliveries int, change func(*pipeline.Work), prompts ...string) {
	work := pipeline.Work{Run: "r", UID: "u", Batch: batch, Round: 2, Token: pipeline.Token("token"), Model: "tiny", Shared: []pipeline.Message{{Role: pipeline.RoleSystem, Content: "sys"}}, Options: pipeline.Options{NumPredict: 100}}
	for i, prompt := range prompts {
		work.Generations = append(work.Generations, pipeline.Generation{Index: i, Item: 10*batch + i, Sample: 1, Seed: 1000 + i, Messages: pipeline.User(prompt)})
	}
	change(&work)
	w.queue <- pipeline.Delivery[pipeline.Work]{
		Body: work, Deliveries: deliveries, Subject: fmt.Sprintf("work of %d", batch), Receipt: &receipt{w, batch},
	}
}

type receipt struct {
	w     *world
	batch int
}

func (r *receipt) Extend(context.Context) error {
	r.w.note(event{what: "extend", batch: r.batch})
	return nil
}

func (r *receipt) Ack(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.w.note(event{what: "ack", batch: r.batch})
	return nil
}

func (r *receipt) HandBack(ctx context.Context, delay time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.w.note(event{what: "hand-back", batch: r.batch, delay: delay})
	if r.w.again != nil {
		time.AfterFunc(delay, func() { r.w.again(r.batch) })
	}
	return nil
}

func (r *receipt) Reject(context.Context, string) error {
	r.w.note(event{what: "reject", batch: r.batch})
	return nil
}

// A fakeModel takes a second for each answer unless it is told otherwise.
type fakeModel struct {
	answer func(ctx context.Context, try int, r pipeline.Request) (pipeline.Completion, error) // nil: after a second

	mu       sync.Mutex
	active   int
	most     int
	requests []pipeline.Request
	tries    map[string]int // by prompt
}

func (m *fakeModel) Generate(ctx context.Context, r pipeline.Request) (pipeline.Completion, error) {
	m.mu.Lock()
	if m.tries == nil {
		m.tries = map[string]int{}
	}
	m.tries[r.Prompt()]++
	try := m.tries[r.Prompt()]
	m.requests = append(m.requests, r)
	m.active++
	m.most = max(m.most, m.active)
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.active--
	}()
	if m.answer != nil {
		return m.answer(ctx, try, r)
	}
	return after(ctx, time.Second)
}

// asked returns the requests besides those of canaries.
func (m *fakeModel) asked() []pipeline.Request {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(m.requests), isCanary)
}

// canaries returns how many canaries were asked for.
func (m *fakeModel) canaries() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(slices.DeleteFunc(slices.Clone(m.requests), func(r pipeline.Request) bool { return !isCanary(r) }))
}

func isCanary(r pipeline.Request) bool { return r.Prompt() == pipeline.CanaryPrompt }

// busy returns how many requests there are now, and the most there ever were.
func (m *fakeModel) busy() (now, most int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.active, m.most
}

// after is an answer that takes its time.
func after(ctx context.Context, d time.Duration) (pipeline.Completion, error) {
	if outage.Sleep(ctx, d) != nil {
		return pipeline.Completion{}, ctx.Err()
	}
	return pipeline.Completion{Text: "42", Finish: "stop", PromptTokens: 60, OutputTokens: 60, ThinkingTokens: 20, Duration: d}, nil
}

// A runner is a consumer at work.
type runner struct {
	*Consumer
	t    testing.TB
	stop context.CancelFunc
	done chan error
}

// testLane returns a lane that is in no consumer.
func testLane(gpu LaneConfig) *lane {
	return newLane(gpu, Config{Rest: time.Second, Log: zap.NewNop()}, newRunWatch(nil, pipeline.RunInfo{}, zap.NewNop()))
}

func config() Config { return Config{Identity: pipeline.Presence{ID: "c1", Run: "r", Host: "h"}} }

// start starts a consumer in a world.
func (w *world) start(cfg Config, gpus ...LaneConfig) *runner {
	w.t.Helper()
	c, err := New(cfg, w.gpu, w, gpus)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &runner{c, w.t, stop, make(chan error, 1)}
	go func() { r.done <- c.Run(ctx) }()
	return r
}

// end stops it and returns what Run returned.
func (r *runner) end() error {
	r.stop()
	return await(r.t, "the end of a consumer that was stopped", r.done, bubbleTime)
}

const (
	bubbleTime = 48 * time.Hour // longer than anything takes in a bubble, whose time is free
	realTime   = time.Minute    // longer than anything takes outside
)

// await returns what comes, or fails the test if nothing does.
func await[T any](t testing.TB, what string, from <-chan T, within time.Duration) (came T) {
	t.Helper()
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case came = <-from:
	case <-timer.C:
		t.Fatalf("%s did not come within %s", what, within)
	}
	return came
}
