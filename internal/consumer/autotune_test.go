package consumer

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"gleaner/internal/autotune/autotunetest"
	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
	"gleaner/internal/supervise/supervisetest"
)

// An endless world has always another batch of eight, and takes all that is published.
type endless struct {
	batch atomic.Int64
	trip  time.Duration // to the queue and back
	said  atomic.Pointer[pipeline.Presence]
}

func (e *endless) Next(ctx context.Context) (pipeline.Delivery[pipeline.Work], error) {
	if outage.Sleep(ctx, e.trip) != nil {
		return pipeline.Delivery[pipeline.Work]{}, ctx.Err()
	}
	work := pipeline.Work{Run: "r", UID: "u", Batch: int(e.batch.Add(1)), Round: 1, Model: "sim", Options: pipeline.Options{NumPredict: 4000}}
	for i := range 8 {
		work.Generations = append(work.Generations, pipeline.Generation{Index: i, Item: 8*work.Batch + i, Messages: pipeline.User("p")})
	}
	return pipeline.Delivery[pipeline.Work]{Body: work, Deliveries: 1, Receipt: e}, nil
}

func (e *endless) PublishResults(ctx context.Context, _ pipeline.Results) error {
	outage.Sleep(ctx, e.trip)
	return nil
}
func (e *endless) PutPresence(_ context.Context, c pipeline.Presence) error {
	e.said.Store(&c)
	return nil
}
func (e *endless) PublishDeadLetter(context.Context, pipeline.DeadLetter) error { return nil }
func (e *endless) Extend(context.Context) error                                 { return nil }
func (e *endless) Ack(ctx context.Context) error                                { outage.Sleep(ctx, e.trip); return nil }
func (e *endless) HandBack(context.Context, time.Duration) error                { return nil }
func (e *endless) Reject(context.Context, string) error                         { return nil }

type curve = autotunetest.Curve

// always is a curve that does not change.
func always(c curve) func(time.Duration) curve { return func(time.Duration) curve { return c } }

// The package autotune tests the search in many more cases, with a lane of its own.
func TestTheNumberOfSlotsEndsCloseToTheBest(t *testing.T) {
	const session = 40 * time.Minute // enough, and quick with the race detector
	same := func(time.Duration) int { return 25 }
	for _, test := range []struct {
		name string
		mean float64
		now  curve
	}{
		{"few are best", 110, autotunetest.Points(1, 60, 3, 130, 6, 100, 16, 40)},
		{"a sharp peak", 110, autotunetest.Points(1, 40, 11, 180, 16, 110)},
		{"short answers", 12, autotunetest.Points(1, 55, 8, 160, 9, 110, 16, 173)},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				core, logs := observer.New(zap.InfoLevel)
				cfg := config()
				cfg.Log, cfg.Grace = zap.New(core), time.Millisecond
				w, m := &endless{trip: 150 * time.Millisecond}, autotunetest.NewCurvedModel(test.mean, always(test.now), same)
				c, err := New(cfg, func() WorkQueue { return w }, w, []LaneConfig{{Name: "sim", Backend: m, Slots: autotunetest.MaxSlots, Auto: true}})
				if err != nil {
					t.Fatal(err)
				}
				ctx, stop := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- c.Run(ctx) }()
				var ends []int // what was in use in the last minutes
				for range int(session.Minutes()) {
					time.Sleep(time.Minute)
					ends = append(ends, c.Snapshot().GPUs[0].Slots)
				}
				tokens := c.Snapshot().GPUs[0].OutputTokens
				stop()
				await(t, "the end of a consumer that was stopped", done, bubbleTime)
				found := logs.FilterMessageSnippet("how many slots are fastest").All()
				if len(found) == 0 {
					t.Fatal("nothing was found")
				}
				is := int(found[len(found)-1].ContextMap()["slots"].(int64))
				last := test.now
				slots, rate := last.Best()
				share := test.mean / (test.mean + float64(same(0)))
				t.Logf("slots %2d with %.0f, best %2d with %.0f: %.1f %%; over all the time %.1f %% of the best at the end; %v", is, last(is), slots, rate, 100*last(is)/rate,
					100*float64(tokens)/session.Seconds()/rate/share, found[len(found)-1].ContextMap()["compared"])
				if last(is) < 0.95*rate {
					t.Errorf("it uses %d slots with %.0f tokens/s, with %d it would be %.0f; it used %v", is, last(is), slots, rate, fmt.Sprint(ends))
				}
			})
		})
	}
}

// The number of slots has one owner: where the supervisor brings a server with fewer, the search
// starts over with those, and the presence tells the number in force.
func TestTheTunerStaysWithinTheSlotsThatTheMemoryLeaves(t *testing.T) {
	const plenty, session = 12 * time.Minute, 40 * time.Minute
	humps := autotunetest.Points(1, 40, 6, 180, 8, 150, 16, 230) // the best of 16 is the last one, of 8 it is 6
	synctest.Test(t, func(t *testing.T) {
		m := autotunetest.NewCurvedModel(110, always(humps), func(time.Duration) int { return 25 })
		short := func(slots int) bool { return slots > 8 && time.Since(m.Began) > plenty }
		launcher := &supervisetest.Launcher{Prepare: func(s *supervisetest.FakeServer) {
			if short(s.Slots) {
				s.Info.OnGPUBytes = 60
			}
		}}
		launcher.Answer = func(ctx context.Context, r pipeline.Request) (pipeline.Completion, error) {
			if server, _ := launcher.Last(); short(server.Slots) {
				return pipeline.Completion{}, pipeline.Fail(pipeline.Retryable, "%w", pipeline.ErrMemory)
			}
			return m.Generate(ctx, r)
		}
		core, logs := observer.New(zap.InfoLevel)
		cfg := config()
		cfg.Log, cfg.Grace = zap.New(core), time.Millisecond
		world := &endless{trip: 150 * time.Millisecond}
		c, err := New(cfg, func() WorkQueue { return world }, world, []LaneConfig{{Name: "sim", Slots: autotunetest.MaxSlots, Auto: true, Launch: launcher.Launch}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		for time.Sleep(plenty); time.Since(m.Began) < session; time.Sleep(10 * time.Second) {
			server, _ := launcher.Last()
			if said := world.said.Load().GPUs[0].Slots; time.Since(m.Began) > plenty+2*time.Minute && (server.Slots != 8 || said > 8) {
				t.Errorf("after %s its server has %d slots, the presence says %d", time.Since(m.Began), server.Slots, said)
			}
		}
		stop()
		await(t, "the end of a consumer that was stopped", done, bubbleTime)
		last, servers := launcher.Last()
		_, before := launcher.Servers()[0].Busy()
		if _, after := last.Busy(); before <= 8 || after > 8 {
			t.Errorf("of %d servers the first one had %d requests at a time, the last one %d", servers, before, after)
		}
		found := logs.FilterMessageSnippet("how many slots are fastest").All()
		if is := int(found[len(found)-1].ContextMap()["slots"].(int64)); is > 8 || humps(is) < 0.95*humps(6) {
			t.Errorf("it uses %d slots with %.0f tokens/s, with 6 it would be %.0f", is, humps(is), humps(6))
		}
	})
}
