package consumer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

// A fragile model is one whose runner dies of some prompts, and with it everything that is in
// flight.
type fragile struct {
	takes func(r pipeline.Request) (d time.Duration, dies bool)
	learn func() (d time.Duration, err error) // how late the others learn of it, and what; nil: at once, of the crash

	mu     sync.Mutex
	flying map[*flight]bool
	alone  []string // prompts that ran while nothing else did, from their beginning to their end
}

type flight struct {
	died    chan struct{}
	company bool
}

var errCrash = pipeline.Fail(pipeline.Retryable, "%w", pipeline.ErrRunnerCrashed)

func (f *fragile) Generate(ctx context.Context, r pipeline.Request) (pipeline.Completion, error) {
	d, dies := f.takes(r)
	me := f.begin()
	defer f.end(me, r.Prompt())
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return pipeline.Completion{}, ctx.Err()
	case <-me.died:
		if f.learn == nil {
			return pipeline.Completion{}, errCrash
		}
		late, err := f.learn()
		outage.Sleep(ctx, late)
		return pipeline.Completion{}, err
	case <-timer.C:
	}
	if dies {
		f.crash()
		return pipeline.Completion{}, errCrash
	}
	return pipeline.Completion{Text: "42", Finish: "stop", OutputTokens: 60, Duration: d}, nil
}

func (f *fragile) begin() *flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	me := &flight{died: make(chan struct{}), company: len(f.flying) > 0}
	for other := range f.flying {
		other.company = true
	}
	if f.flying == nil {
		f.flying = map[*flight]bool{}
	}
	f.flying[me] = true
	return me
}

func (f *fragile) end(me *flight, prompt string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.flying, me)
	if !me.company {
		f.alone = append(f.alone, prompt)
	}
}

func (f *fragile) crash() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for each := range f.flying {
		select {
		case <-each.died:
		default:
			close(each.died)
		}
	}
}

// poisonous says that a prompt kills the runner after half a second; the others take one.
func poisonous(r pipeline.Request) (time.Duration, bool) {
	if strings.Contains(r.Prompt(), "poison") {
		return 500 * time.Millisecond, true
	}
	return time.Second, false
}

func TestPoisonIsFoundAndTheOthersAreAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld(t), &fragile{takes: poisonous}
		w.add(1, 1, "a", "b", "c")
		w.add(2, 1, "poison", "d", "e")
		w.add(3, 1, "f", "g", "h")
		cfg := config()
		cfg.Known.Generations = 9
		r := w.start(cfg, LaneConfig{Name: "T4", Backend: m, Slots: 3})
		time.Sleep(time.Minute)
		for batch, want := range map[int][]string{1: {"take", "publish", "ack"}, 2: {"take", "publish", "dead", "ack"}, 3: {"take", "publish", "ack"}} {
			if diff := cmp.Diff(want, w.story(batch)); diff != "" {
				t.Errorf("batch %d (-want +got):\n%s", batch, diff)
			}
		}
		letter := w.only("dead")[0].dead
		if len(letter.Failures) != 1 || letter.Class != pipeline.Poison || letter.Failures[0].Prompt() != "poison" || letter.Failures[0].Attempts != count(m.alone, "poison") {
			t.Errorf("%+v", letter)
		}
		// The three suspects run alone, the poison until chance does not explain it, and after each
		// crash a word shows that the GPU is well.
		poison := count(m.alone, "poison")
		if poison < 2 || poison > 6 {
			t.Errorf("it ran %d times alone", poison)
		}
		for prompt, want := range map[string]int{"a": 1, "f": 1, pipeline.CanaryPrompt: poison + 1} {
			if got := count(m.alone, prompt); got != want {
				t.Errorf("%q ran %d times alone, want %d: %q", prompt, got, want, m.alone)
			}
		}
		if r.lanes[0].requests.evidence.crashes < 3 {
			t.Errorf("%d crashes seen", r.lanes[0].requests.evidence.crashes)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func count(list []string, want string) int {
	n := 0
	for _, s := range list {
		if s == want {
			n++
		}
	}
	return n
}

func TestACrashInCompanyIsNotChargedToAnInnocent(t *testing.T) {
	for name, learned := range map[string]error{
		"it learns of the crash":                  errCrash,
		"it learns only of its broken connection": pipeline.Fail(pipeline.Retryable, "%w", io.ErrUnexpectedEOF),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				first := make(chan struct{})
				victim := func(ctx context.Context, try int) (pipeline.Completion, error) {
					switch try {
					case 1: // it learns of it first
						outage.Sleep(ctx, 400*time.Millisecond)
						return pipeline.Completion{}, learned
					case 2, 3:
						outage.Sleep(ctx, time.Second)
						return pipeline.Completion{}, pipeline.Fail(pipeline.Retryable, "away")
					}
					return after(ctx, time.Second)
				}
				m := &fakeModel{answer: func(ctx context.Context, try int, r pipeline.Request) (pipeline.Completion, error) {
					if r.Prompt() == "victim" {
						return victim(ctx, try)
					}
					if r.Prompt() == "culprit" && try == 1 {
						defer close(first)
						outage.Sleep(ctx, 500*time.Millisecond)
						return pipeline.Completion{}, errCrash
					}
					return after(ctx, time.Second)
				}}
				w.add(1, 1, "victim")
				w.add(2, 1, "culprit")
				r := w.start(config(), LaneConfig{Backend: m, Slots: 2})
				await(t, "the end of the culprit", first, bubbleTime)
				time.Sleep(time.Minute)
				for batch := 1; batch <= 2; batch++ {
					if diff := cmp.Diff([]string{"take", "publish", "ack"}, w.story(batch)); diff != "" {
						t.Errorf("batch %d (-want +got):\n%s", batch, diff)
					}
				}
				if err := r.end(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A runner that crashes with everything says nothing of the prompts.
func TestAGPUWhoseRunnerCrashesWithEverythingConvictsNoPrompt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mended atomic.Bool
		w, m := newWorld(t), &fragile{takes: func(pipeline.Request) (time.Duration, bool) { return time.Second, !mended.Load() }}
		w.again = func(batch int) { w.add(batch, 2, "a", "b") }
		for i := range 10 {
			w.again(i)
		}
		r := w.start(config(), LaneConfig{Backend: m, Slots: 2})
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if state := r.Snapshot().GPUs[0].Describe(); !strings.Contains(state, "crash") {
			t.Errorf("it says %q", state)
		}
		if n := len(w.only("take")); n > 8 {
			t.Errorf("%d deliveries for a GPU that cannot work", n)
		}
		mended.Store(true)
		time.Sleep(5 * time.Minute)
		if acks, dead := len(w.only("ack")), len(w.only("dead")); acks != 10 || dead != 0 {
			t.Errorf("mended, %d of 10 batches are done, %d dead letters", acks, dead)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestWhatStalledIsTriedAgainWhenNothingElseIsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var mu sync.Mutex
		hung, flying := false, 0
		// The runner hangs from the first request on, until there is none on it any more.
		m := &fakeModel{answer: func(ctx context.Context, _ int, r pipeline.Request) (pipeline.Completion, error) {
			mu.Lock()
			hung = hung || time.Since(w.begin) < time.Second
			flying++
			hangs := hung
			mu.Unlock()
			defer func() {
				mu.Lock()
				defer mu.Unlock()
				if flying--; flying == 0 {
					hung = false
				}
			}()
			r.CountTokens(1)
			if hangs {
				<-ctx.Done()
				return pipeline.Completion{}, ctx.Err()
			}
			return after(ctx, time.Second)
		}}
		for i := range 8 {
			w.add(i, 1, "a", "b", "c")
		}
		r := w.start(config(), LaneConfig{Backend: m, Slots: 4})
		time.Sleep(10 * time.Minute)
		if acks := len(w.only("ack")); acks != 8 {
			t.Errorf("%d of 8 batches are done", acks)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

// outbreak is a pattern of crashes.
type outbreak struct {
	seed           uint64
	batches, slots int
	gpus           int
	poison         int // percent of generations
	spontaneous    int // percent of generations that crash the runner by chance, in company
	stop           time.Duration
}

// Whatever crashes when, no innocent is convicted, all poison is, and every generation has its
// outcome.
func TestNoInnocentIsEverConvicted(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		o := outbreak{
			seed: rapid.Uint64().Draw(rt, "seed"), batches: rapid.IntRange(1, 30).Draw(rt, "batches"), slots: rapid.IntRange(1, 6).Draw(rt, "slots"),
			gpus: rapid.IntRange(1, 2).Draw(rt, "GPUs"), poison: rapid.IntRange(0, 40).Draw(rt, "poison"), spontaneous: rapid.IntRange(0, 5).Draw(rt, "spontaneous"),
			stop: time.Duration(rapid.IntRange(0, 200_000).Draw(rt, "stop after ms")) * time.Millisecond,
		}
		var problem string
		synctest.Test(t, func(t *testing.T) { problem = o.live(t) })
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}

func (o outbreak) live(t *testing.T) string {
	w, dice := newWorld(t), newDice(o.seed)
	prompts := make([][]string, o.batches)
	for i := range prompts {
		for range 1 + i%4 {
			kind := "good"
			if dice.percent(o.poison) {
				kind = "poison"
			}
			prompts[i] = append(prompts[i], kind)
		}
	}
	var mu sync.Mutex
	deliveries := map[int]int{}
	w.again = func(batch int) {
		mu.Lock()
		defer mu.Unlock()
		deliveries[batch]++
		w.add(batch, deliveries[batch], prompts[batch]...)
	}
	for i := range prompts {
		w.again(i)
	}
	var gpus []LaneConfig
	for range o.gpus {
		m := &fragile{learn: func() (time.Duration, error) {
			if dice.percent(50) {
				return dice.duration(500 * time.Millisecond), errCrash
			}
			return dice.duration(500 * time.Millisecond), pipeline.Fail(pipeline.Retryable, "%w", io.ErrUnexpectedEOF)
		}}
		m.takes = func(r pipeline.Request) (time.Duration, bool) {
			m.mu.Lock()
			company := len(m.flying) > 0
			m.mu.Unlock()
			return dice.duration(20 * time.Second), r.Prompt() == "poison" || company && dice.percent(o.spontaneous)
		}
		gpus = append(gpus, LaneConfig{Name: "T4", Backend: m, Slots: o.slots})
	}
	if _, err := w.stopAfter(o.stop, grace(5*time.Second), gpus...); err != nil && !errors.Is(err, ErrCut) {
		return err.Error()
	}
	if w.held != 0 {
		return fmt.Sprintf("%d batches are held after the stop", w.held)
	}
	r := w.start(grace(time.Hour), gpus...)
	for left := 24 * 60; len(w.only("ack")) < o.batches && left > 0; left-- {
		time.Sleep(time.Minute)
	}
	if err := r.end(); err != nil {
		return err.Error()
	}
	for i := range prompts {
		if problem := w.judge(i, len(prompts[i])); problem != "" {
			return fmt.Sprintf("batch %d: %s: %v", i, problem, w.story(i))
		}
		want := map[int]pipeline.Class{}
		for index, prompt := range prompts[i] {
			if prompt == "poison" {
				want[index] = pipeline.Poison
			}
		}
		if diff := cmp.Diff(want, w.failed(i)); diff != "" {
			return fmt.Sprintf("batch %d of %q failed otherwise (-want +got):\n%s", i, prompts[i], diff)
		}
		if slices.Contains(w.story(i), "dead") != (len(want) > 0) {
			return fmt.Sprintf("batch %d: %v", i, w.story(i))
		}
	}
	return ""
}

// Newer servers hide an error of their runner: all streams end without a word. Those beside the one
// that causes it are not the reason.
func TestStreamsThatAreDroppedTogetherAreTriedAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dropped := pipeline.Fail(pipeline.Retryable, "%w", pipeline.ErrDropped)
		w, m := newWorld(t), &fragile{learn: func() (time.Duration, error) { return 0, dropped }}
		m.takes = func(r pipeline.Request) (time.Duration, bool) {
			if r.Prompt() == "bad" {
				return 500 * time.Millisecond, true
			}
			return time.Second, false
		}
		backend := generatorFunc(func(ctx context.Context, r pipeline.Request) (pipeline.Completion, error) {
			c, err := m.Generate(ctx, r)
			if errors.Is(err, pipeline.ErrRunnerCrashed) {
				err = dropped
			}
			return c, err
		})
		for i := range 40 {
			prompt := "fine"
			if i == 5 {
				prompt = "bad"
			}
			w.add(i, 1, prompt)
		}
		r := w.start(config(), LaneConfig{Name: "T4", Backend: backend, Slots: 4})
		time.Sleep(2 * time.Minute)
		letters := w.only("dead")
		if len(w.only("ack")) != 40 || len(letters) != 1 || letters[0].batch != 5 || letters[0].dead.Class != pipeline.Unanswered {
			t.Errorf("%d of 40 batches are done, dead letters %+v", len(w.only("ack")), letters)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

// A generatorFunc is a model.
type generatorFunc func(ctx context.Context, r pipeline.Request) (pipeline.Completion, error)

func (f generatorFunc) Generate(ctx context.Context, r pipeline.Request) (pipeline.Completion, error) {
	return f(ctx, r)
}

// A server that does not come back after a crash costs no further deliveries.
func TestAServerThatIsAwayAfterACrashTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		crashes, back := w.begin.Add(10*time.Second), w.begin.Add(time.Hour)
		m := &fakeModel{answer: func(ctx context.Context, _ int, _ pipeline.Request) (pipeline.Completion, error) {
			switch now := time.Now(); {
			case now.Before(crashes) || !now.Before(back):
				return after(ctx, time.Second)
			case now.Before(crashes.Add(time.Second)):
				return pipeline.Completion{}, errCrash
			}
			return pipeline.Completion{}, pipeline.Fail(pipeline.Retryable, "connection refused")
		}}
		w.again = func(batch int) { w.add(batch, 2, "a", "b", "c") }
		for i := range 100 {
			w.again(i)
		}
		r := w.start(config(), LaneConfig{Name: "T4", Backend: m, Slots: 4})
		time.Sleep(time.Minute)
		before := len(w.only("take"))
		time.Sleep(50 * time.Minute)
		if n := len(w.only("take")) - before; n != 0 {
			t.Errorf("%d deliveries while the server was away", n)
		}
		time.Sleep(15 * time.Minute)
		if acks, dead := len(w.only("ack")), len(w.only("dead")); acks != 100 || dead != 0 {
			t.Errorf("%d of 100 batches are done, %d dead letters", acks, dead)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestASuspectThatTheServerNeverWorkedOnIsNotCounted(t *testing.T) {
	refusals := map[string]error{
		"the runner crashes with everything": errCrash,
		"the server is busy":                 pipeline.Fail(pipeline.Retryable, "%w", &pipeline.BusyError{Err: errors.New("429")}),
		"another runner was starting":        pipeline.Fail(pipeline.Retryable, "%w", pipeline.ErrNotStarted),
	}
	for name, refusal := range refusals {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				m := &fakeModel{answer: func(ctx context.Context, try int, r pipeline.Request) (pipeline.Completion, error) {
					switch {
					case try == 1 && !isCanary(r):
						outage.Sleep(ctx, time.Second)
						return pipeline.Completion{}, errCrash
					case isCanary(r) && errors.Is(refusal, pipeline.ErrRunnerCrashed):
						return pipeline.Completion{}, refusal
					case isCanary(r):
						return after(ctx, time.Second)
					}
					return pipeline.Completion{}, refusal
				}}
				w.add(1, 1, "a")
				w.add(2, 1, "b")
				r := w.start(config(), LaneConfig{Backend: m, Slots: 2})
				time.Sleep(20 * time.Second)
				e := &r.lanes[0].requests.evidence
				if e.mu.Lock(); e.crashes == 0 || e.suspects != 0 || e.guilty != 0 {
					t.Errorf("%d crashes, and of %d suspects that ran alone %d are guilty", e.crashes, e.suspects, e.guilty)
				}
				e.mu.Unlock()
				if err := r.end(); err != nil && !errors.Is(err, ErrCut) {
					t.Error(err)
				}
			})
		})
	}
}
