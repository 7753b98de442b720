package autotune

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"gleaner/internal/autotune/autotunetest"
	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

// A limiter admits a limited number of goroutines at a time, in the order in which they come.
type limiter struct {
	changed func(busy, limit int) // may be nil

	mu      sync.Mutex
	busy    int
	limit   int
	waiting []chan struct{}
}

func (l *limiter) update(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
	for len(l.waiting) > 0 && l.busy < l.limit {
		close(l.waiting[0])
		l.waiting = l.waiting[1:]
		l.busy++
	}
	if l.changed != nil {
		l.changed(l.busy, l.limit)
	}
}

// acquire reports whether the caller was admitted before ctx ended.
func (l *limiter) acquire(ctx context.Context) bool {
	admitted := make(chan struct{})
	l.update(func() { l.waiting = append(l.waiting, admitted) })
	select {
	case <-admitted:
		return true
	case <-ctx.Done():
		return false // the test is over
	}
}

func (l *limiter) release() { l.update(func() { l.busy-- }) }

// A worksite is a GPU that works as a consumer's does: as many workers as slots and two more have
// a batch of eight each, and only generations that have a slot reach the model.
type worksite struct {
	model    *autotunetest.CurvedModel
	meter    *SpeedMeter
	slots    *limiter
	workers  *limiter
	tokens   atomic.Int64
	maxSlots atomic.Int64
}

func newWorksite(model *autotunetest.CurvedModel) *worksite {
	w := &worksite{model: model, meter: NewSpeedMeter(), workers: &limiter{limit: autotunetest.MaxSlots + 2}}
	w.slots = &limiter{limit: autotunetest.MaxSlots, changed: w.meter.Note}
	w.maxSlots.Store(autotunetest.MaxSlots)
	return w
}

func (w *worksite) UseSlots(n int) {
	w.slots.update(func() { w.slots.limit = n })
	w.workers.update(func() { w.workers.limit = n + 2 })
}

func (w *worksite) Slots() int {
	w.slots.mu.Lock()
	defer w.slots.mu.Unlock()
	return w.slots.limit
}

func (w *worksite) MaxSlots() int { return int(w.maxSlots.Load()) }

// run works until ctx ends.
func (w *worksite) run(ctx context.Context) {
	const trip = 150 * time.Millisecond // to the queue and back
	var workers sync.WaitGroup
	for range autotunetest.MaxSlots + 2 {
		workers.Go(func() {
			for w.workers.acquire(ctx) {
				_ = outage.Sleep(ctx, trip) // taking a batch
				w.batch(ctx)
				_ = outage.Sleep(ctx, 2*trip) // publishing and acknowledging
				w.workers.release()
			}
		})
	}
	workers.Wait()
}

func (w *worksite) batch(ctx context.Context) {
	var generations sync.WaitGroup
	for range 8 {
		generations.Go(func() {
			if !w.slots.acquire(ctx) {
				return
			}
			defer w.slots.release()
			completion, err := w.model.Generate(ctx, pipeline.Request{OnTokens: w.meter.Tokens})
			w.tokens.Add(int64(completion.OutputTokens))
			w.meter.Ended(err != nil)
		})
	}
	generations.Wait()
}

// start lets the GPU work, tuned, until the returned function is called.
func (w *worksite) start(t *testing.T, end time.Time) (logs *observer.ObservedLogs, stop func()) {
	core, logs := observer.New(zap.InfoLevel)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { w.run(ctx) })
	running.Go(func() { Run(ctx, w, w.meter, end, zap.New(core)) })
	return logs, func() { cancel(); running.Wait() }
}

// found returns the number of slots in the last line about a search.
func found(t *testing.T, logs *observer.ObservedLogs) (slots int, compared any) {
	t.Helper()
	lines := logs.FilterMessageSnippet("how many slots are fastest").All()
	if len(lines) == 0 {
		t.Fatal("nothing was found")
	}
	fields := lines[len(lines)-1].ContextMap()
	return int(fields["slots"].(int64)), fields["compared"]
}

type curve = autotunetest.Curve

// always is a curve that does not change, and turning one that does after a time.
func always(c curve) func(time.Duration) curve { return func(time.Duration) curve { return c } }

func turning(first curve, after time.Duration, then curve) func(time.Duration) curve {
	return func(since time.Duration) curve {
		if since < after {
			return first
		}
		return then
	}
}

// restless is a GPU that others use, too: its speed changes by up to a fifth, every fifteen
// seconds.
func restless(c curve) func(time.Duration) curve {
	return func(since time.Duration) curve {
		random := rand.New(rand.NewPCG(1, uint64(since/(15*time.Second))))
		speed := 0.8 + 0.2*random.Float64()
		return func(slots int) float64 { return speed * c(slots) }
	}
}

func sameLength(time.Duration) int { return 25 }

func TestTheNumberOfSlotsEndsCloseToTheBest(t *testing.T) {
	var (
		growing = autotunetest.Points(1, 35, 2, 60, 4, 105, 8, 150, 12, 195, 16, 230)
		fewer   = autotunetest.Points(1, 60, 3, 130, 6, 100, 16, 40)
		alone   = autotunetest.Points(1, 100, 2, 80, 4, 75, 8, 70, 16, 60)
		dipping = autotunetest.Points(1, 100, 2, 60, 4, 70, 8, 80, 16, 85) // the best is behind a valley
		stepped = autotunetest.Points(1, 55, 8, 160, 9, 110, 16, 173)      // as with kernels for up to eight columns
		sharp   = autotunetest.Points(1, 40, 11, 180, 16, 110)
	)
	const session = 40 * time.Minute // enough, and quick with the race detector
	for _, test := range []struct {
		name    string
		mean    float64
		now     func(time.Duration) curve
		prompts func(time.Duration) int
		lasts   time.Duration
	}{
		{"more is better", 110, always(growing), sameLength, session},
		{"few are best", 110, always(fewer), sameLength, session},
		{"two streams are slower than one", 110, always(alone), sameLength, session},
		{"one is best behind a valley", 110, always(dipping), sameLength, session},
		{"a step between 8 and 9", 110, always(stepped), sameLength, session},
		{"a sharp peak", 110, always(sharp), sameLength, session},
		{"all the same", 110, always(autotunetest.Points(1, 100, 16, 100)), sameLength, 2 * session},
		{"long answers", 900, always(sharp), sameLength, 2 * session},
		{"short answers", 12, always(stepped), sameLength, session},
		{"prompts that grow and shrink", 110, always(sharp), func(since time.Duration) int { return []int{10, 120}[int(since.Minutes()/7)%2] }, session},
		{"other programs on the machine", 110, restless(stepped), sameLength, 2 * session},
		{"from many to few in the middle", 110, turning(growing, session, fewer), sameLength, 2 * session},
		{"from one to many in the middle", 110, turning(alone, session, growing), sameLength, 2 * session},
		{"slower for all in the middle", 110, turning(sharp, session, func(n int) float64 { return sharp(n) / 2 }), sameLength, 2 * session},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorksite(autotunetest.NewCurvedModel(test.mean, test.now, test.prompts))
				logs, stop := w.start(t, time.Time{})
				var used []int // each minute
				for range int(test.lasts.Minutes()) {
					time.Sleep(time.Minute)
					used = append(used, w.Slots())
				}
				tokens := w.tokens.Load()
				stop()
				is, compared := found(t, logs)
				last := test.now(test.lasts)
				slots, rate := last.Best()
				share := test.mean / (test.mean + float64(test.prompts(0)))
				t.Logf("slots %2d with %.0f, best %2d with %.0f: %.1f %%; over all the time %.1f %% of the best at the end; %v", is, last(is), slots, rate, 100*last(is)/rate,
					100*float64(tokens)/test.lasts.Seconds()/rate/share, compared)
				if last(is) < 0.95*rate {
					t.Errorf("it uses %d slots with %.0f tokens/s, with %d it would be %.0f; it used %v", is, last(is), slots, rate, fmt.Sprint(used))
				}
			})
		})
	}
}

func TestTheSearchStartsOverWithinTheSlotsOfANewServer(t *testing.T) {
	humps := autotunetest.Points(1, 40, 6, 180, 8, 150, 16, 230) // the best of 16 is the last one, of 8 it is 6
	synctest.Test(t, func(t *testing.T) {
		w := newWorksite(autotunetest.NewCurvedModel(110, always(humps), sameLength))
		logs, stop := w.start(t, time.Time{})
		time.Sleep(12 * time.Minute)
		if is, _ := found(t, logs); is <= 8 {
			t.Errorf("of 16 slots it uses %d", is)
		}
		w.maxSlots.Store(8)
		for range 100 {
			time.Sleep(10 * time.Second)
			if w.Slots() > 8 {
				t.Errorf("of 8 slots it uses %d", w.Slots())
			}
		}
		stop()
		if is, _ := found(t, logs); is > 8 || humps(is) < 0.95*humps(6) {
			t.Errorf("it uses %d slots with %.0f tokens/s, with 6 it would be %.0f", is, humps(is), humps(6))
		}
	})
}

func TestNoOtherNumberIsTriedShortlyBeforeTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorksite(autotunetest.NewCurvedModel(110, always(autotunetest.Points(1, 40, 11, 180, 16, 110)), sameLength))
		logs, stop := w.start(t, time.Now().Add(40*time.Minute))
		time.Sleep(35*time.Minute + 2*time.Second)
		is, _ := found(t, logs)
		for range 60 {
			if w.Slots() != is {
				t.Fatalf("it tries %d slots while %d are the best", w.Slots(), is)
			}
			time.Sleep(5 * time.Second)
		}
		stop()
	})
}

func TestOnlyWhatHappensWhileAllSlotsAreBusyIsMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewSpeedMeter()
		second := func() { time.Sleep(time.Second) }
		m.Note(1, 2)
		m.Tokens(100) // one slot is free
		m.Ended(false)
		second()
		m.Note(2, 2)
		m.Tokens(7)
		second()
		m.Ended(true)
		m.Note(1, 2)
		second()
		if got, want := m.Take(), (Observation{Wall: 3 * time.Second, Full: time.Second, Tokens: 7, Answers: 1, Failed: true}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		second()
		if got, want := m.Take(), (Observation{Wall: time.Second}); got != want {
			t.Errorf("the next one is %+v, want %+v", got, want)
		}
	})
}

func TestItIsSaidHowManyTimesAsFastAsOneSlotTheBestIs(t *testing.T) {
	for want, tuned := range map[float64]*tuner{
		1.9: {best: 4, ratios: map[int]float64{1: 0.53, 2: 0.8, 4: 1}},
		1:   {best: 1, ratios: map[int]float64{1: 1, 8: 0.7}},
		0:   {best: 4, ratios: map[int]float64{4: 1}},
	} {
		if got := tuned.timesOne(); got != want {
			t.Errorf("of %s it is %v, want %v", tuned.describe(), got, want)
		}
	}
}
