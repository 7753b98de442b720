package consumer

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"gleaner/internal/ollamasim"
	"gleaner/internal/pipeline"
)

// An endless world has always another batch of eight, and takes all that is published.
type endless struct {
	batch atomic.Int64
	trip  time.Duration // to the queue and back
	said  atomic.Pointer[pipeline.Presence]
}

func (e *endless) Next(ctx context.Context) (pipeline.Delivery[pipeline.Work], error) {
	if !sleep(ctx, e.trip) {
		return pipeline.Delivery[pipeline.Work]{}, ctx.Err()
	}
	work := pipeline.Work{Run: "r", UID: "u", Batch: int(e.batch.Add(1)), Round: 1, Model: "sim", Options: pipeline.Options{NumPredict: 4000}}
	for i := range 8 {
		work.Generations = append(work.Generations, pipeline.Generation{Index: i, Item: 8*work.Batch + i, Messages: pipeline.User("p")})
	}
	return pipeline.Delivery[pipeline.Work]{Body: work, Deliveries: 1, Receipt: e}, nil
}

func (e *endless) PublishResults(ctx context.Context, _ pipeline.Results) error {
	sleep(ctx, e.trip)
	return nil
}
func (e *endless) PutPresence(_ context.Context, c pipeline.Presence) error {
	e.said.Store(&c)
	return nil
}
func (e *endless) PublishDeadLetter(context.Context, pipeline.DeadLetter) error { return nil }
func (e *endless) Extend(context.Context) error                                 { return nil }
func (e *endless) Ack(ctx context.Context) error                                { sleep(ctx, e.trip); return nil }
func (e *endless) HandBack(context.Context, time.Duration) error                { return nil }
func (e *endless) Reject(context.Context, string) error                         { return nil }

// A curve says how many tokens a second a GPU makes in all with so many slots busy.
type curve func(slots int) float64

// best returns the number of slots that makes the most, and how many.
func (c curve) best() (slots int, rate float64) {
	for n := 1; n <= maxTried; n++ {
		if c(n) > rate {
			slots, rate = n, c(n)
		}
	}
	return slots, rate
}

const maxTried = 16

// points is a curve with straight lines between given points: slots and tokens a second, in turn.
func points(p ...float64) curve {
	return func(slots int) float64 {
		n := float64(slots)
		for i := 0; i+2 < len(p); i += 2 {
			if n <= p[i+2] {
				return p[i+1] + (p[i+3]-p[i+1])*(n-p[i])/(p[i+2]-p[i])
			}
		}
		return p[len(p)-1]
	}
}

// A curvedModel is a GPU whose answers and prompts have mixed lengths. It tells of its tokens
// eight at a time.
type curvedModel struct {
	gpu     *ollamasim.GPU
	began   time.Time
	mean    float64 // tokens of an answer
	prompts func(since time.Duration) int
	made    atomic.Int64
}

func newCurved(mean float64, now func(since time.Duration) curve, prompts func(time.Duration) int) *curvedModel {
	m := &curvedModel{began: time.Now(), mean: mean, prompts: prompts}
	m.gpu = ollamasim.NewGPU(maxTried, func(busy int) float64 {
		busy = max(busy, 1)
		return now(time.Since(m.began))(busy) / float64(busy)
	})
	return m
}

func (m *curvedModel) Generate(ctx context.Context, r pipeline.Request) (pipeline.Completion, error) {
	const atOnce = 8
	random := rand.New(rand.NewPCG(uint64(r.Seed), uint64(m.made.Add(1))))
	tokens := max(1, int(m.mean*math.Exp(0.5*random.NormFloat64()-0.125)))
	s, err := m.gpu.Acquire(ctx)
	if err != nil {
		return pipeline.Completion{}, err
	}
	defer s.Release()
	prompt := m.prompts(time.Since(m.began))
	for made := 0; made < tokens; {
		next := min(made+atOnce, tokens)
		if err := s.Wait(ctx, prompt+next); err != nil {
			return pipeline.Completion{}, err
		}
		r.CountTokens(next - made)
		made = next
	}
	return pipeline.Completion{Text: "42", Finish: "stop", OutputTokens: tokens}, nil
}

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

var (
	growing = points(1, 35, 2, 60, 4, 105, 8, 150, 12, 195, 16, 230)
	fewer   = points(1, 60, 3, 130, 6, 100, 16, 40)
	alone   = points(1, 100, 2, 80, 4, 75, 8, 70, 16, 60)
	dipping = points(1, 100, 2, 60, 4, 70, 8, 80, 16, 85) // the best is behind a valley
	stepped = points(1, 55, 8, 160, 9, 110, 16, 173)      // as with kernels for up to eight columns
	sharp   = points(1, 40, 11, 180, 16, 110)
)

func TestTheNumberOfSlotsEndsCloseToTheBest(t *testing.T) {
	const session = 40 * time.Minute // enough, and quick with the race detector
	same := func(time.Duration) int { return 25 }
	for _, test := range []struct {
		name    string
		mean    float64
		now     func(time.Duration) curve
		prompts func(time.Duration) int
		lasts   time.Duration
	}{
		{"more is better", 110, always(growing), same, session},
		{"few are best", 110, always(fewer), same, session},
		{"two streams are slower than one", 110, always(alone), same, session},
		{"one is best behind a valley", 110, always(dipping), same, session},
		{"a step between 8 and 9", 110, always(stepped), same, session},
		{"a sharp peak", 110, always(sharp), same, session},
		{"all the same", 110, always(points(1, 100, 16, 100)), same, session},
		{"long answers", 900, always(sharp), same, 2 * session},
		{"short answers", 12, always(stepped), same, session},
		{"prompts that grow and shrink", 110, always(sharp), func(since time.Duration) int { return []int{10, 120}[int(since.Minutes()/7)%2] }, session},
		{"other programs on the machine", 110, restless(stepped), same, 2 * session},
		{"from many to few in the middle", 110, turning(growing, session, fewer), same, 2 * session},
		{"from one to many in the middle", 110, turning(alone, session, growing), same, 2 * session},
		{"slower for all in the middle", 110, turning(sharp, session, func(n int) float64 { return sharp(n) / 2 }), same, 2 * session},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				core, logs := observer.New(zap.InfoLevel)
				cfg := config()
				cfg.Log, cfg.Grace = zap.New(core), time.Millisecond
				w, m := &endless{trip: 150 * time.Millisecond}, newCurved(test.mean, test.now, test.prompts)
				c, err := New(cfg, w, w, []LaneConfig{{Name: "sim", Model: m, Slots: maxTried, Auto: true}})
				if err != nil {
					t.Fatal(err)
				}
				ctx, stop := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- c.Run(ctx) }()
				var ends []int // what was in use in the last minutes
				for range int(test.lasts.Minutes()) {
					time.Sleep(time.Minute)
					ends = append(ends, c.Snapshot().GPUs[0].Slots)
				}
				tokens := c.Snapshot().GPUs[0].OutputTokens
				stop()
				<-done
				found := logs.FilterMessageSnippet("is found").All()
				if len(found) == 0 {
					t.Fatal("nothing was found")
				}
				is := int(found[len(found)-1].ContextMap()["slots"].(int64))
				last := test.now(test.lasts)
				slots, rate := last.best()
				share := test.mean / (test.mean + float64(test.prompts(0)))
				t.Logf("slots %2d with %.0f, best %2d with %.0f: %.1f %%; over all the time %.1f %% of the best at the end; %v", is, last(is), slots, rate, 100*last(is)/rate,
					100*float64(tokens)/test.lasts.Seconds()/rate/share, found[len(found)-1].ContextMap()["compared"])
				if last(is) < 0.95*rate {
					t.Errorf("it uses %d slots with %.0f tokens/s, with %d it would be %.0f; it used %v", is, last(is), slots, rate, fmt.Sprint(ends))
				}
			})
		})
	}
}

// The number of slots has one owner: where the keeper brings a server with fewer, the tuner
// begins anew with those, and everybody hears of the number in force.
func TestTheTunerStaysWithinTheSlotsThatTheMemoryLeaves(t *testing.T) {
	const plenty, session = 12 * time.Minute, 40 * time.Minute
	humps := points(1, 40, 6, 180, 8, 150, 16, 230) // the best of 16 is the last one, of 8 it is 6
	synctest.Test(t, func(t *testing.T) {
		m := newCurved(110, always(humps), func(time.Duration) int { return 25 })
		short := func(slots int) bool { return slots > 8 && time.Since(m.began) > plenty }
		rack := &rack{prepare: func(s *fakeServer) {
			if short(s.slots) {
				s.loaded.OnGPUBytes = 60
			}
		}}
		rack.answer = func(ctx context.Context, r pipeline.Request) (pipeline.Completion, error) {
			if server, _ := rack.last(); short(server.slots) {
				return pipeline.Completion{}, pipeline.Fail(pipeline.Retryable, "%w", pipeline.ErrMemory)
			}
			return m.Generate(ctx, r)
		}
		core, logs := observer.New(zap.InfoLevel)
		cfg := config()
		cfg.Log, cfg.Grace = zap.New(core), time.Millisecond
		world := &endless{trip: 150 * time.Millisecond}
		c, err := New(cfg, world, world, []LaneConfig{{Name: "sim", Slots: maxTried, Auto: true, Launch: rack.launch}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		for time.Sleep(plenty); time.Since(m.began) < session; time.Sleep(10 * time.Second) {
			server, _ := rack.last()
			if said := world.said.Load().GPUs[0].Slots; time.Since(m.began) > plenty+2*time.Minute && (server.slots != 8 || said > 8) {
				t.Errorf("after %s its server has %d slots, the presence says %d", time.Since(m.began), server.slots, said)
			}
		}
		stop()
		<-done
		last, servers := rack.last()
		if first := rack.servers[0]; first.most <= 8 || last.most > 8 {
			t.Errorf("of %d servers the first one had %d requests at a time, the last one %d", servers, first.most, last.most)
		}
		found := logs.FilterMessageSnippet("is found").All()
		if is := int(found[len(found)-1].ContextMap()["slots"].(int64)); is > 8 || humps(is) < 0.95*humps(6) {
			t.Errorf("it uses %d slots with %.0f tokens/s, with 6 it would be %.0f", is, humps(is), humps(6))
		}
	})
}
