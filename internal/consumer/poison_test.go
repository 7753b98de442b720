package consumer

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"gleaner/internal/pipeline"
)

// Crashes that have nothing to do with the rows, be it that each takes its own request with it or
// everything that is in flight. One run in a thousand may convict a row all the same, so one of the
// twenty may.
func TestRandomCrashesConvictNoRow(t *testing.T) {
	const rows, batch = 2000, 4
	for _, percent := range []int{10, 20} {
		for _, all := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d percent, all in flight %v", percent, all), func(t *testing.T) {
				var convicted []string
				defer func() {
					if len(convicted) > 1 {
						t.Error(convicted)
					}
				}()
				for seed := range uint64(20) {
					synctest.Test(t, func(t *testing.T) {
						w, dice := newWorld(t), newDice(seed)
						takes := func(pipeline.Request) (time.Duration, bool) {
							return time.Second + dice.duration(time.Second), dice.percent(percent)
						}
						var m Generator = &fragile{takes: takes}
						if !all {
							m = &fakeModel{answer: func(ctx context.Context, _ int, r pipeline.Request) (pipeline.Completion, error) {
								d, dies := takes(r)
								completion, err := after(ctx, d)
								if dies && err == nil {
									return pipeline.Completion{}, errCrash
								}
								return completion, err
							}}
						}
						w.queue = make(chan pipeline.Delivery[pipeline.Work], rows)
						w.again = func(b int) { w.add(b, 2, "a", "b", "c", "d") }
						for b := range rows / batch {
							w.again(b)
						}
						cfg := config()
						cfg.Known.Generations = rows
						r := w.start(cfg, LaneConfig{Name: "T4", Backend: m, Slots: 8})
						for left := 24 * 60; len(w.only("ack")) < rows/batch && left > 0; left-- {
							time.Sleep(time.Minute)
						}
						if acks := len(w.only("ack")); acks != rows/batch {
							t.Errorf("seed %d: %d of %d batches are done", seed, acks, rows/batch)
						}
						for _, e := range w.only("dead") {
							convicted = append(convicted, fmt.Sprintf("seed %d: %s: %s", seed, e.dead.Class, e.dead.Message))
						}
						if err := r.end(); err != nil {
							t.Error(err)
						}
					})
				}
			})
		}
	}
}

// Where nothing else crashes, the row that always does is found soon, at the start and later.
func TestARowThatAlwaysCrashesIsConvictedWithinAMinute(t *testing.T) {
	for _, at := range []int{0, 300, 1990} {
		t.Run(fmt.Sprint("row ", at), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, dice := newWorld(t), newDice(uint64(at))
				var first time.Time
				m := &fragile{takes: func(r pipeline.Request) (time.Duration, bool) {
					if r.Prompt() == "poison" {
						if first.IsZero() {
							first = time.Now()
						}
						return time.Second, true
					}
					return time.Second + dice.duration(2*time.Second), false
				}}
				w.queue = make(chan pipeline.Delivery[pipeline.Work], 2000)
				for b := range 2000 {
					prompt := "fine"
					if b == at {
						prompt = "poison"
					}
					w.add(b, 1, prompt)
				}
				cfg := config()
				cfg.Known.Generations = 2000
				r := w.start(cfg, LaneConfig{Name: "T4", Backend: m, Slots: 8})
				for len(w.only("ack")) < 2000 {
					time.Sleep(time.Second)
				}
				letters := w.only("dead")
				if len(letters) != 1 || letters[0].batch != at || letters[0].dead.Class != pipeline.Poison {
					t.Fatalf("%d dead letters: %+v", len(letters), letters)
				}
				if took := w.begin.Add(letters[0].at).Sub(first); took > time.Minute {
					t.Errorf("convicted after %s and %d attempts", took, letters[0].dead.Failures[0].Attempts)
				}
				if err := r.end(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
