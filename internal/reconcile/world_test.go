package reconcile

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"time"

	"gleaner/internal/pipeline"
)

const (
	testRun   = "r"
	testUID   = "01UID"
	testLease = time.Second
)

// A world is a store and three streams in memory, with everything that works on them except the
// engine under test. Nothing happens in it by itself.
type world struct {
	paused   bool      // the queue hands out nothing
	pausedAs time.Time // of which pause of the store it knows that

	run     pipeline.Run
	batches []pipeline.Batch
	texts   map[int]string // stored, by number of the generation
	fails   map[int]bool   // generations that fail whenever they are tried, by number

	failedTruly map[failure]bool // what workers reported
	natures     map[int]nature   // of other generations; those that are not here can be answered anywhere
	gpus        []*gpu           // none: failures are reported as earlier versions did
	unqueued    string           // what was taken off the queue although it was not at its end

	work    map[int]message[pipeline.Work] // by batch
	results []message[pipeline.Results]
	dead    map[int]pipeline.StoredDeadLetter    // by batch
	mirror  []message[pipeline.StoredDeadLetter] // not acknowledged by the mirror yet
	seq     uint64
	deadSeq uint64      // begins again when the stream is lost
	room    int         // messages that the queue takes
	sizes   map[int]int // of the generations' prompts, by number
	largest int         // prompts of one message together
	ensured bool

	acked     []message[pipeline.Work] // what was on the queue before
	stray     map[uint64]bool          // messages that are on the queue although they are acknowledged, by sequence
	uncovers  string                   // a message that lacks a generation
	lanes     int                      // as the follower reported them
	awaiting  int
	handedOut uint64 // as the queue says
	held      int
	listFrom  int  // batches to search for before the queue is listed
	tooOld    bool // a consumer is present that brings no tokens back

	requeued func(b, seen pipeline.Batch)         // called before a batch gets another round, as it is and as it was seen
	opinion  func(b pipeline.Batch, opinions int) // called before the same

	now      time.Time
	executed int // generations generated: the text of an answer, so that no two are the same
}

// A message is on a stream.
type message[T any] struct {
	seq  uint64
	body T
}

// newWorld returns a world with batches of these sizes, all planned.
func newWorld(sizes ...int) *world {
	w := &world{
		texts: map[int]string{}, fails: map[int]bool{}, failedTruly: map[failure]bool{}, work: map[int]message[pipeline.Work]{},
		dead: map[int]pipeline.StoredDeadLetter{}, natures: map[int]nature{}, stray: map[uint64]bool{}, sizes: map[int]int{}, room: 1 << 20, largest: 1 << 20, now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	first := 0
	for i, n := range sizes {
		w.batches = append(w.batches, pipeline.Batch{Run: testRun, Index: i, First: first, Count: n, State: pipeline.Planned, Round: 1})
		first += n
	}
	w.run = pipeline.Run{Name: testRun, UID: testUID, State: pipeline.RunOpen, Items: first, Generations: first, Batches: len(sizes)}
	w.run.Spec.Samples, w.run.Spec.Options.NumPredict = 1, 64
	return w
}

// ---- The store.

func (w *world) batch(run string, index int) *pipeline.Batch {
	if run != testRun || index < 0 || index >= len(w.batches) {
		return nil
	}
	return &w.batches[index]
}

func copyOf(b pipeline.Batch) pipeline.Batch {
	b.Done, b.Failed = slices.Clone(b.Done), slices.Clone(b.Failed)
	return b
}

func (w *world) store(r pipeline.Results) {
	b := w.batch(r.Run, r.Batch)
	for _, x := range r.Results {
		if n := b.First + x.Index; w.texts[n] == "" {
			w.texts[n] = x.Text
			b.Done = append(b.Done, x.Index)
		}
	}
	slices.Sort(b.Done)
	b.State = b.Settle()
}

func (w *world) fail(index, round int, failed []int) bool {
	b := w.batch(testRun, index)
	if b == nil || b.State == pipeline.Done || b.Round != round {
		return false
	}
	b.Failed = append(b.Failed, failed...)
	slices.Sort(b.Failed)
	b.Failed = slices.Compact(b.Failed)
	b.State = b.Settle()
	return b.State == pipeline.Dead
}

// ---- The streams.

// onQueue returns the batches that the queue may hand out.
func (w *world) onQueue() (batches []int) {
	for index, m := range w.work {
		if !w.stray[m.seq] {
			batches = append(batches, index)
		}
	}
	slices.Sort(batches)
	return batches
}

// settled returns the sequence before that of the first message which the queue may hand out.
func (w *world) settled() uint64 {
	floor := w.seq
	for _, index := range w.onQueue() {
		floor = min(floor, w.work[index].seq-1)
	}
	return floor
}

func (w *world) publish(work pipeline.Work) error {
	if size := w.size(work); size > w.largest {
		return &pipeline.SizeError{Bytes: size, Limit: w.largest}
	}
	if _, there := w.work[work.Batch]; there {
		return pipeline.ErrOutstanding
	}
	if len(w.work) >= w.room {
		return pipeline.ErrFull
	}
	w.seq++
	w.work[work.Batch] = message[pipeline.Work]{w.seq, work}
	w.checkCover(work)
	return nil
}

// size returns the size of a message. Its verdicts take nothing.
func (w *world) size(work pipeline.Work) (n int) {
	for _, g := range work.Generations {
		n += w.sizes[w.batches[work.Batch].First+g.Index]
	}
	return n
}

func (w *world) fit(work pipeline.Work) (pipeline.Work, error) {
	return pipeline.Fit(work, w.largest, func(work pipeline.Work) (int, error) { return w.size(work), nil })
}

func (w *world) deadLetter(d pipeline.DeadLetter) {
	w.deadSeq++
	stored := pipeline.StoredDeadLetter{DeadLetter: d, Sequence: w.deadSeq}
	w.dead[d.Batch] = stored
	w.mirror = slices.DeleteFunc(w.mirror, func(m message[pipeline.StoredDeadLetter]) bool { return m.body.Batch == d.Batch })
	w.mirror = append(w.mirror, message[pipeline.StoredDeadLetter]{w.deadSeq, stored})
}

func (w *world) deleteDeadLetter(seq uint64) {
	maps.DeleteFunc(w.dead, func(_ int, d pipeline.StoredDeadLetter) bool { return d.Sequence == seq })
	w.mirror = slices.DeleteFunc(w.mirror, func(m message[pipeline.StoredDeadLetter]) bool { return m.seq == seq })
}

// ---- The workers, the sink and the mirror.

// A holding is a batch that a worker holds.
type holding struct {
	message[pipeline.Work]
	gpu      *gpu // nil: of an earlier version
	began    int  // outcomes that the GPU had
	token    pipeline.Token
	failures []pipeline.GenerationFailure
	answers  []pipeline.Result // not published yet
	toldDead bool              // the dead letter is published
}

// take delivers a message to a program of an earlier version. It may be called again for the same
// one, since a lease may run out.
func (w *world) take(index int, failNow map[int]bool) *holding { return w.takeOn(nil, index, failNow) }

// step makes the next step of a worker and reports whether it was the last one.
func (w *world) step(h *holding) bool {
	switch {
	case len(h.answers) > 0:
		w.seq++
		w.results = append(w.results, message[pipeline.Results]{w.seq, pipeline.Results{
			Run: testRun, UID: testUID, Batch: h.body.Batch, Round: h.body.Round, Token: h.token, Results: h.answers[:1],
		}})
		h.answers = h.answers[1:]
		if h.gpu != nil {
			h.gpu.outcomes++
			h.gpu.proven = max(h.gpu.proven, h.began)
		}
	case len(h.failures)+len(h.body.Final) > 0 && !h.toldDead:
		letter := h.letter(w.now)
		w.noteFailed(letter)
		w.deadLetter(letter)
		h.toldDead = true
	default:
		if w.work[h.body.Batch].seq == h.seq { // an ack is for a message, not for a subject
			delete(w.work, h.body.Batch)
			w.acked = append(w.acked, h.message)
		}
		return true
	}
	return false
}

func (w *world) sink(i int, ack bool) {
	if r := w.results[i].body; w.admits(r.Token, r.Batch, r.Round) {
		w.store(r)
	} else {
		w.markRefused(r.Batch, r.Round)
	}
	if ack {
		w.results = slices.Delete(w.results, i, i+1)
	}
}

func (w *world) applyMirror(i int, ack bool) {
	if d := w.mirror[i].body; len(d.Failures) == 0 || w.admits(d.Token, d.Batch, d.Round) {
		w.fail(d.Batch, d.Round, d.Failed())
	} else {
		w.markRefused(d.Batch, d.Round)
	}
	if ack {
		w.mirror = slices.Delete(w.mirror, i, i+1)
	}
}

// ---- What an engine sees of the world.

// errGone is the error of every call of an engine whose process has died.
var errGone = errors.New("gone")

// A view is the world for one engine. Of each call, decide says what becomes of it.
type view struct {
	*world
	decide func() fate
}

// A fate is what becomes of a call.
type fate int

const (
	proceed    fate = iota
	loseReply       // it has its effect, and its caller dies before it knows
	die             // it has none
	refuse          // it has none, and may have one later
	loseAnswer      // it has its effect, and its caller learns only that the answer is lost
)

// errAway is an outage that ends.
var errAway = pipeline.Fail(pipeline.Retryable, "you are over your space quota")

// pass lets a call happen and returns the error that its caller gets.
func (v view) pass(effect func()) error {
	switch v.decide() {
	case die:
		return errGone
	case refuse:
		return errAway
	case loseReply:
		effect()
		return errGone
	case loseAnswer:
		effect()
		return errAway
	}
	effect()
	return nil
}

func (v view) Run(_ context.Context, name string) (run pipeline.Run, err error) {
	failure := v.pass(func() {
		if run = v.run; name != testRun {
			err = pipeline.ErrNoRun
		}
	})
	return run, errors.Join(failure, err)
}

func (v view) Batches(_ context.Context, _ string, state pipeline.BatchState, from, count int) (found []pipeline.Batch, _ error) {
	err := v.pass(func() {
		for _, b := range v.batches {
			if b.State == state && b.Index >= from && len(found) < count {
				found = append(found, copyOf(b))
			}
		}
	})
	return found, err
}

func (v view) BatchesAt(_ context.Context, run string, indexes []int) (found []pipeline.Batch, _ error) {
	err := v.pass(func() {
		for _, i := range indexes {
			if b := v.batch(run, i); b != nil {
				found = append(found, copyOf(*b))
			}
		}
	})
	return found, err
}

func (v view) Requeue(_ context.Context, seen pipeline.Batch, opinions int, at time.Time) (did bool, _ error) {
	err := v.pass(func() {
		b := v.batch(seen.Run, seen.Index)
		did = b != nil && b.State == seen.State && b.Round == seen.Round && b.State != pipeline.Done
		if did {
			if v.requeued != nil {
				v.requeued(*b, seen)
			}
			if v.opinion != nil {
				v.opinion(*b, opinions)
			}
			b.State, b.Round, b.Failed, b.Opinions, b.QueuedAt = pipeline.Queued, seen.Round+1, nil, opinions, at
		}
	})
	return did && err == nil, err
}

func (v view) Fail(_ context.Context, _ string, index, round int, failed []int, _ string) (dead bool, _ error) {
	err := v.pass(func() { dead = v.fail(index, round, failed) })
	return dead && err == nil, err
}

func (v view) Drop(_ context.Context, seen pipeline.Batch) (did bool, _ error) {
	err := v.pass(func() {
		b := v.batch(seen.Run, seen.Index)
		did = b != nil && b.State == seen.State && b.Round == seen.Round && (b.State == pipeline.Dead || b.State == pipeline.Queued)
		if did {
			b.State = pipeline.Dropped
		}
	})
	return did && err == nil, err
}

func (v view) Pause(_ context.Context, _, uid string, pause pipeline.RunPause) error {
	return v.pass(func() {
		if uid == v.run.UID && !v.run.Paused() {
			v.run.Pause = &pause
		}
	})
}

func (v view) KeepRun(ctx context.Context, run pipeline.Run) (pipeline.RunInfo, error) {
	if err := v.EnsureRun(ctx, run); err != nil {
		return pipeline.RunInfo{}, err
	}
	return v.RunInfo(ctx, run.Name)
}

func (v view) EnsureRun(context.Context, pipeline.Run) error {
	return v.pass(func() { v.ensured = true })
}

func (v view) Publish(ctx context.Context, work pipeline.Work) (err error) {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	failure := v.pass(func() { err = v.publish(work) })
	if failure != nil {
		return failure
	}
	return err
}

func (v view) Fit(work pipeline.Work) (pipeline.Work, error) { return v.fit(work) }

func (v view) PublishDeadLetter(_ context.Context, d pipeline.DeadLetter) error {
	return v.pass(func() {
		v.noteUnsent(d)
		v.deadLetter(d)
	})
}

// Queued is cut off after one batch, so that the others are searched for.
func (v view) Queued(context.Context, string) (queued map[int]bool, _ error) {
	err := v.pass(func() {
		for _, index := range slices.Sorted(maps.Keys(v.work)) {
			queued = map[int]bool{index: true}
			break
		}
	})
	return queued, err
}

func (v view) Arriving(context.Context, string) (batches map[int]bool, _ error) {
	batches = map[int]bool{}
	err := v.pass(func() {
		for _, m := range v.results {
			batches[m.body.Batch] = true
		}
	})
	return batches, err
}

func (v view) InWork(_ context.Context, _ string, index int) (found bool, _ error) {
	err := v.pass(func() { _, found = v.work[index] })
	return found, err
}

func (v view) InResults(_ context.Context, _ string, index int) (found bool, _ error) {
	err := v.pass(func() {
		found = slices.ContainsFunc(v.results, func(m message[pipeline.Results]) bool { return m.body.Batch == index })
	})
	return found, err
}

func (v view) DeadLetter(_ context.Context, _ string, index int) (d pipeline.StoredDeadLetter, found bool, _ error) {
	err := v.pass(func() { d, found = v.dead[index] })
	if err == nil && found {
		err = readable(d)
	}
	return d, found, err
}

func (v view) DeadLetters(_ context.Context, run string) iter.Seq2[pipeline.StoredDeadLetter, error] {
	return func(yield func(pipeline.StoredDeadLetter, error) bool) {
		for last := uint64(0); ; {
			var next *pipeline.StoredDeadLetter
			err := v.pass(func() {
				for _, d := range slices.SortedFunc(maps.Values(v.dead), func(a, b pipeline.StoredDeadLetter) int { return cmp.Compare(a.Sequence, b.Sequence) }) {
					if d.Sequence > last && (run == "" || run == d.Run) {
						next = &d
						return
					}
				}
			})
			if err != nil {
				yield(pipeline.StoredDeadLetter{}, err)
				return
			}
			if next == nil || !yield(*next, readable(*next)) {
				return
			}
			last = next.Sequence
		}
	}
}

// readable returns the error that comes with a letter of which only run, batch and sequence are
// known.
func readable(d pipeline.StoredDeadLetter) error {
	if len(d.Failures) == 0 {
		return pipeline.Fail(pipeline.BadItem, "the dead letter cannot be read")
	}
	return nil
}

func (v view) DeleteDeadLetter(_ context.Context, seq uint64) error {
	return v.pass(func() { v.deleteDeadLetter(seq) })
}

// A maker makes messages without items.
type maker struct{ run pipeline.Run }

func (m maker) Build(_ context.Context, batches []pipeline.Batch) ([]pipeline.Work, error) {
	var works []pipeline.Work
	for _, b := range batches {
		w := pipeline.Work{Run: m.run.Name, UID: m.run.UID, Batch: b.Index, Round: b.Round, Token: m.run.Key.Token(m.run.UID, b.Index, b.Round), Model: "m", Options: m.run.Spec.Options}
		for _, i := range b.Missing() {
			item, sample := b.Generation(i, m.run.Spec.Samples)
			w.Generations = append(w.Generations, pipeline.Generation{Index: i, Item: item, Sample: sample, Messages: pipeline.User("p")})
		}
		works = append(works, w)
	}
	return works, nil
}

// engine returns the engine over this world. Decide, which may be nil, says what becomes of each of
// its calls.
func (w *world) engine(decide func() fate) *Engine {
	if decide == nil {
		decide = func() fate { return proceed }
	}
	v := view{w, decide}
	l, err := New(Config{Lease: testLease, SweepEvery: testLease}, v, v, func(run pipeline.Run) (pipeline.BuildFunc, error) { return maker{run}.Build, nil })
	if err != nil {
		panic(err)
	}
	l.listFrom = w.listFrom
	l.now = func() time.Time { return w.now }
	l.sleep = func(_ context.Context, d time.Duration) error {
		return v.pass(func() { w.now = w.now.Add(d) })
	}
	return l
}
