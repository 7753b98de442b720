package consumer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

// faults is one way things can go: how often each kind of fault happens, in percent, and when the
// consumer is stopped.
type faults struct {
	seed                               uint64
	batches, slots                     int
	bad, fatal, retryable, unpublished int
	stops                              []time.Duration
}

func drawFaults(t *rapid.T) faults {
	percent := rapid.IntRange(0, 30)
	return faults{
		seed: rapid.Uint64().Draw(t, "seed"), batches: rapid.IntRange(1, 40).Draw(t, "batches"), slots: rapid.IntRange(1, 4).Draw(t, "slots"),
		bad: percent.Draw(t, "bad"), fatal: percent.Draw(t, "fatal") / 5, retryable: percent.Draw(t, "retryable"), unpublished: percent.Draw(t, "unpublished"),
		stops: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) time.Duration {
			return time.Duration(rapid.IntRange(0, 100_000).Draw(t, "stop after ms")) * time.Millisecond
		}), 0, 4).Draw(t, "stops"),
	}
}

// dice throws the same for the same faults, for whichever goroutine asks first.
type dice struct {
	lock chan *rand.Rand
}

func newDice(seed uint64) *dice {
	d := &dice{make(chan *rand.Rand, 1)}
	d.lock <- rand.New(rand.NewPCG(seed, 1))
	return d
}

func (d *dice) percent(n int) bool {
	r := <-d.lock
	defer func() { d.lock <- r }()
	return r.IntN(100) < n
}

func (d *dice) duration(most time.Duration) time.Duration {
	r := <-d.lock
	defer func() { d.lock <- r }()
	return time.Duration(r.Int64N(int64(most)))
}

// Whatever goes wrong, a batch that leaves the queue was published as a whole, and in the end all
// are.
func TestNoBatchIsLostWhateverGoesWrong(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		faults := drawFaults(rt)
		var problem string // reported on the goroutine of rapid
		synctest.Test(t, func(t *testing.T) { problem = live(t, faults) })
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}

// live runs a world with this faults to its end and returns what was wrong with it.
func live(t *testing.T, faults faults) string {
	w, m, dice := newWorld(t), &fakeModel{}, newDice(faults.seed)
	wild := true
	m.answer = func(ctx context.Context, _ int, _ pipeline.Request) (pipeline.Completion, error) {
		completion, err := after(ctx, dice.duration(20*time.Second))
		switch {
		case err != nil || !wild:
		case dice.percent(faults.bad):
			err = pipeline.Fail(pipeline.BadItem, "bad")
		case dice.percent(faults.fatal):
			err = pipeline.Fail(pipeline.Fatal, "fatal")
		case dice.percent(faults.retryable):
			err = pipeline.Fail(pipeline.Retryable, "away")
		}
		return completion, err
	}
	w.publish = func(ctx context.Context, _ pipeline.Results) error {
		outage.Sleep(ctx, dice.duration(3*time.Second))
		if wild && dice.percent(faults.unpublished) {
			return fmt.Errorf("no stream")
		}
		return nil
	}
	w.dying = func(ctx context.Context, _ pipeline.DeadLetter) error { return w.publish(ctx, pipeline.Results{}) }
	w.again = func(batch int) { w.add(batch, 2, slices.Repeat([]string{fmt.Sprint(batch)}, 1+batch%4)...) }
	for i := range faults.batches {
		w.again(i)
	}
	gpu := LaneConfig{Name: "T4", Backend: m, Slots: faults.slots}
	for _, wait := range faults.stops {
		if _, err := w.stopAfter(wait, grace(5*time.Second), gpu); err != nil && !errors.Is(err, ErrCut) {
			return err.Error()
		}
		if w.held != 0 {
			return fmt.Sprintf("%d batches are held after the stop", w.held)
		}
	}
	wild = false
	r := w.start(grace(5*time.Second), gpu)
	for left := 24 * 60; len(w.only("ack")) < faults.batches && left > 0; left-- {
		time.Sleep(time.Minute)
	}
	if err := r.end(); err != nil {
		return err.Error()
	}
	if m.most > faults.slots || w.mostHeld > faults.slots+2 {
		return fmt.Sprintf("%d generations at once and %d batches held on %d slots", m.most, w.mostHeld, faults.slots)
	}
	for i := range faults.batches {
		if problem := w.judge(i, 1+i%4); problem != "" {
			return fmt.Sprintf("batch %d: %s: %v", i, problem, w.story(i))
		}
	}
	return ""
}

// judge says what is wrong with the story of a batch with this many generations.
func (w *world) judge(batch, generations int) string {
	story := w.of(batch)
	if len(story) == 0 || story[len(story)-1].what != "ack" {
		return "it was never finished"
	}
	for len(story) > 0 {
		end := slices.IndexFunc(story, func(e event) bool { return e.what == "ack" || e.what == "hand-back" })
		if problem := judgeDelivery(story[:end+1], generations); problem != "" {
			return problem
		}
		if story[end].what == "ack" && end != len(story)-1 {
			return "something came after the ack"
		}
		story = story[end+1:]
	}
	return ""
}

// judgeDelivery says what is wrong with what happened between taking a batch and releasing it:
// results, then at most one dead letter, and if it was acknowledged each generation is in exactly
// one of them.
func judgeDelivery(story []event, generations int) string {
	outcomes := map[int]int{}
	words := ""
	for _, e := range story {
		words += e.what + " "
		for _, r := range e.sent.Results {
			outcomes[r.Index]++
		}
		for _, index := range e.dead.Failed() {
			outcomes[index]++
		}
	}
	switch words {
	case "take hand-back ", "take publish hand-back ":
		return ""
	case "take publish ack ", "take publish dead ack ", "take dead ack ":
		for i := range generations {
			if outcomes[i] != 1 {
				return fmt.Sprintf("acknowledged while generation %d has %d outcomes", i, outcomes[i])
			}
		}
		return ""
	}
	return "this happened with one delivery: " + words
}
