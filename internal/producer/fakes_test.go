package producer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gleaner/internal/pipeline"
	"gleaner/internal/prompt"
)

// errAway is an outage that ends.
var errAway = pipeline.Fail(pipeline.Retryable, "the server is away")

// A fakeStore keeps one run in memory by the rules of a store.
type fakeStore struct {
	fault func(call string) (before, after error) // of each call; after a call means that it had its effect. May be nil

	mu      sync.Mutex
	run     *pipeline.Run
	items   map[int]pipeline.Item
	batches map[int]pipeline.Batch
	seals   int
	calls   []string
	reads   []int // items of each read
}

func newStore() *fakeStore {
	return &fakeStore{items: map[int]pipeline.Item{}, batches: map[int]pipeline.Batch{}}
}

// call is one call of the store: do is done unless it fails before.
func (s *fakeStore) call(ctx context.Context, name string, do func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, name)
	if err := ctx.Err(); err != nil {
		return err
	}
	var before, after error
	if s.fault != nil {
		before, after = s.fault(name)
	}
	if before != nil {
		return before
	}
	return errors.Join(do(), after)
}

func (s *fakeStore) CreateRun(ctx context.Context, run pipeline.Run) (stored pipeline.Run, created bool, err error) {
	err = s.call(ctx, "CreateRun", func() error {
		if created = s.run == nil; created {
			s.run = &run
		}
		stored = *s.run
		return nil
	})
	return stored, created, err
}

func (s *fakeStore) Run(ctx context.Context, name string) (run pipeline.Run, err error) {
	err = s.call(ctx, "Run", func() error {
		if s.run == nil || s.run.Name != name {
			return fmt.Errorf("run %s: %w", name, pipeline.ErrNoRun)
		}
		run = *s.run
		return nil
	})
	return run, err
}

func (s *fakeStore) Resume(ctx context.Context, _, uid string, at time.Time) error {
	return s.call(ctx, "Resume", func() error {
		if s.run.UID == uid && s.run.Paused() {
			s.run.Pause = &pipeline.RunPause{Since: s.run.Pause.Since, Ended: at, Cause: s.run.Pause.Cause}
		}
		return nil
	})
}

// pause pauses the run as a person or its failures do.
func (s *fakeStore) pause(cause pipeline.PauseCause) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.run.Pause = &pipeline.RunPause{Since: time.Now(), Cause: cause}
}

func (s *fakeStore) PutItems(ctx context.Context, items []pipeline.Item) error {
	return s.call(ctx, "PutItems", func() error {
		for _, item := range items {
			if _, ok := s.items[item.Seq]; !ok {
				s.items[item.Seq] = item
			}
		}
		return nil
	})
}

func (s *fakeStore) PutBatches(ctx context.Context, batches []pipeline.Batch) error {
	return s.call(ctx, "PutBatches", func() error {
		for _, b := range batches {
			if _, ok := s.batches[b.Index]; !ok {
				s.batches[b.Index] = b
			}
		}
		return nil
	})
}

func (s *fakeStore) Loaded(ctx context.Context, _ string) (items, batches int, err error) {
	err = s.call(ctx, "Loaded", func() error {
		for ; ; items++ {
			if _, ok := s.items[items]; !ok {
				break
			}
		}
		for ; ; batches++ {
			if _, ok := s.batches[batches]; !ok {
				break
			}
		}
		return nil
	})
	return items, batches, err
}

func (s *fakeStore) Seal(ctx context.Context, _ string, batches int) error {
	return s.call(ctx, "Seal", func() error {
		if s.run.State == pipeline.RunLoading {
			s.run.State, s.run.Batches = pipeline.RunOpen, batches
			s.seals++
		}
		return nil
	})
}

func (s *fakeStore) Items(ctx context.Context, _ string, first, count int) (items []pipeline.Item, err error) {
	err = s.call(ctx, "Items", func() error {
		for seq := first; seq < first+count; seq++ {
			if item, ok := s.items[seq]; ok {
				items = append(items, item)
			}
		}
		s.reads = append(s.reads, len(items))
		return nil
	})
	return items, err
}

func (s *fakeStore) Batches(ctx context.Context, _ string, state pipeline.BatchState, from, count int) (batches []pipeline.Batch, err error) {
	err = s.call(ctx, "Batches", func() error {
		for i := from; i < len(s.batches) && len(batches) < count; i++ {
			if s.batches[i].State == state {
				batches = append(batches, s.batches[i])
			}
		}
		return nil
	})
	return batches, err
}

func (s *fakeStore) MarkQueued(ctx context.Context, _ string, indexes []int, at time.Time) error {
	return s.call(ctx, "MarkQueued", func() error {
		for _, i := range indexes {
			if b := s.batches[i]; b.State == pipeline.Planned {
				b.State, b.QueuedAt = pipeline.Queued, at
				s.batches[i] = b
			}
		}
		return nil
	})
}

func (s *fakeStore) Progress(ctx context.Context, _ string, _ time.Time) (p pipeline.Progress, err error) {
	err = s.call(ctx, "Progress", func() error {
		p.Batches = map[pipeline.BatchState]int{}
		for _, b := range s.batches {
			p.Batches[b.State]++
			p.Generations += b.Count
			p.Stored += len(b.Done)
			switch b.State {
			case pipeline.Dead:
				p.Failed += len(b.Missing())
			case pipeline.Dropped:
				p.Dropped += len(b.Missing())
			}
		}
		return nil
	})
	return p, err
}

// finish stores all results of a batch.
func (s *fakeStore) finish(batch int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.batches[batch]
	b.Done = nil
	for i := range b.Count {
		b.Done = append(b.Done, i)
	}
	b.State = b.Settle()
	s.batches[batch] = b
}

// count returns how many batches are in a state.
func (s *fakeStore) count(state pipeline.BatchState) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, b := range s.batches {
		if b.State == state {
			n++
		}
	}
	return n
}

// called returns how often a method was called.
func (s *fakeStore) called(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(slices.DeleteFunc(slices.Clone(s.calls), func(call string) bool { return call != name }))
}

// A fakeQueue holds each batch at most once.
type fakeQueue struct {
	limit   int                     // messages it has room for; 0: any number
	largest int                     // bytes of one message; 0: any number
	fault   func(call string) error // of each call, before it does anything; may be nil
	lost    func(call string) error // the answer to a call that has worked; may be nil

	mu        sync.Mutex
	ensured   bool
	pins      map[pipeline.EngineName]string
	paused    bool
	waiting   []pipeline.Work
	most      int
	published map[int]int // how often, by batch
	refused   map[error]int
	present   []pipeline.Presence
	told      []string                    // to the consumers of a run: its uid, and what
	letters   map[int]pipeline.DeadLetter // by batch
	completed []string                    // runs that were reported as complete
}

func newQueue() *fakeQueue {
	return &fakeQueue{published: map[int]int{}, refused: map[error]int{}, letters: map[int]pipeline.DeadLetter{}}
}

func (q *fakeQueue) call(ctx context.Context, name string, do func() error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if q.fault != nil {
		if err := q.fault(name); err != nil {
			return err
		}
	}
	err := do()
	if err == nil && q.lost != nil {
		err = q.lost(name)
	}
	return err
}

func (q *fakeQueue) Consumers(ctx context.Context) (present []pipeline.Presence, err error) {
	err = q.call(ctx, "Consumers", func() error { present = q.present; return nil })
	return present, err
}

func (q *fakeQueue) EnsureRun(ctx context.Context, run pipeline.Run) error {
	return q.call(ctx, "EnsureRun", func() error { q.ensured, q.pins, q.paused = true, run.Pins, run.Paused(); return nil })
}

func (q *fakeQueue) Publish(ctx context.Context, work pipeline.Work) error {
	return q.call(ctx, "Publish", func() error {
		switch {
		case !q.ensured:
			return errors.New("published before the run was ensured")
		case slices.ContainsFunc(q.waiting, func(w pipeline.Work) bool { return w.Batch == work.Batch }):
			q.refused[pipeline.ErrOutstanding]++
			return fmt.Errorf("batch %d: %w", work.Batch, pipeline.ErrOutstanding)
		case q.limit > 0 && len(q.waiting) >= q.limit:
			q.refused[pipeline.ErrFull]++
			return fmt.Errorf("batch %d: %w", work.Batch, pipeline.ErrFull)
		}
		data, err := pipeline.Encode(work)
		if err == nil {
			work, err = pipeline.DecodeWork(data) // as the worker gets it
		}
		if q.largest > 0 && len(data) > q.largest {
			return pipeline.Fail(pipeline.BadItem, "%w", &pipeline.SizeError{Bytes: len(data), Limit: q.largest})
		}
		if err == nil && len(work.Generations) > 1 && len(data) > pipeline.MaxBatchBytes {
			err = fmt.Errorf("batch %d has %d bytes", work.Batch, len(data))
		}
		if err != nil {
			return err
		}
		q.waiting = append(q.waiting, work)
		q.most = max(q.most, len(q.waiting))
		q.published[work.Batch]++
		return nil
	})
}

func (q *fakeQueue) Fit(work pipeline.Work) (pipeline.Work, error) {
	return pipeline.Fit(work, q.largest, func(work pipeline.Work) (int, error) {
		data, err := pipeline.Encode(work)
		return len(data), err
	})
}

func (q *fakeQueue) PublishDeadLetter(ctx context.Context, letter pipeline.DeadLetter) error {
	return q.call(ctx, "PublishDeadLetter", func() error { q.letters[letter.Batch] = letter; return letter.Validate() })
}

func (q *fakeQueue) Depth(ctx context.Context, _ string) (depth pipeline.StreamDepth, err error) {
	err = q.call(ctx, "Depth", func() error {
		if !q.ensured {
			return fmt.Errorf("run r is not on the stream: %w", pipeline.ErrNoRun)
		}
		depth = pipeline.StreamDepth{Waiting: len(q.waiting) / 2, Held: len(q.waiting) - len(q.waiting)/2}
		return nil
	})
	return depth, err
}

func (q *fakeQueue) CompleteRun(ctx context.Context, run pipeline.Run) error {
	return q.call(ctx, "CompleteRun", func() error { q.completed = append(q.completed, run.Name); return nil })
}

func (q *fakeQueue) TellConsumers(_ context.Context, run pipeline.Run, what pipeline.News) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.told = append(q.told, run.UID+" "+string(what))
	return nil
}

// take removes the first n messages, or as many as there are.
func (q *fakeQueue) take(n int) []pipeline.Work {
	q.mu.Lock()
	defer q.mu.Unlock()
	n = min(n, len(q.waiting))
	taken := slices.Clone(q.waiting[:n])
	q.waiting = slices.Clone(q.waiting[n:])
	return taken
}

func (q *fakeQueue) deepest() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.most
}

// rowsOf makes a dataset of lines.
func rowsOf(name string, lines ...string) Dataset {
	return Dataset{Name: name, Open: func() (Rows, error) { return &fakeRows{name: name, lines: lines}, nil }}
}

// A fakeRows gives the same memory again for each row, as a reader may.
type fakeRows struct {
	name   string
	lines  []string
	line   int
	buffer []byte
	closed error
}

func (r *fakeRows) Next() ([]byte, error) {
	if r.line == len(r.lines) {
		return nil, io.EOF
	}
	r.buffer = append(r.buffer[:0], r.lines[r.line]...)
	r.line++
	return r.buffer, nil
}

func (r *fakeRows) Position() (string, int) { return r.name, 2 * r.line } // as if every second line were empty

func (r *fakeRows) Close() error {
	for i := range r.buffer {
		r.buffer[i] = 'x'
	}
	return r.closed
}

// numbered makes n rows with a question each, some larger than others.
func numbered(n int) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf(`{"question":"%d?%s","n":%d}`, i, strings.Repeat(" x", i%50), i)
	}
	return lines
}

func spec() pipeline.Spec {
	return pipeline.Spec{Model: "tiny", Field: "question", Samples: 1, Batch: 8, Seed: 3, Options: pipeline.Options{NumPredict: 64}}
}

// preflight checks a dataset that is in order.
func preflight(t testing.TB, s pipeline.Spec, data Dataset) Preflight {
	t.Helper()
	found, err := RunPreflight(t.Context(), "r", s, data, nil)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// theRun is the run of loaded, as others know it.
var theRun = pipeline.Run{Name: "r", UID: "uid"}

// loaded returns a store with a run that is open.
func loaded(t testing.TB, s pipeline.Spec, lines ...string) *fakeStore {
	t.Helper()
	store, data := newStore(), rowsOf("train.jsonl", lines...)
	if _, _, err := Load(t.Context(), store, preflight(t, s, data), "uid", nil); err != nil {
		t.Fatal(err)
	}
	return store
}

// shared returns the messages that all requests of the run begin with.
func (s *fakeStore) shared(t testing.TB) []pipeline.Message {
	t.Helper()
	renderer, err := prompt.New(s.run.Spec)
	if err != nil {
		t.Fatal(err)
	}
	return renderer.Shared()
}

// rendered returns what the messages of a batch have to hold.
func (s *fakeStore) rendered(t testing.TB, batch pipeline.Batch) []pipeline.Generation {
	t.Helper()
	renderer, err := prompt.New(s.run.Spec)
	if err != nil {
		t.Fatal(err)
	}
	var generations []pipeline.Generation
	for _, index := range batch.Missing() {
		n := batch.First + index
		item, sample := n/s.run.Spec.Samples, n%s.run.Spec.Samples
		messages, err := renderer.Render(bytes.Clone(s.items[item].Input))
		if err != nil {
			t.Fatal(err)
		}
		generations = append(generations, pipeline.Generation{
			Index: index, Item: item, Sample: sample, Messages: messages[len(renderer.Shared()):],
			Seed: pipeline.Seed(s.run.Spec.Seed, fmt.Sprintf("r/%09d.%03d", item, sample)),
		})
	}
	return generations
}
