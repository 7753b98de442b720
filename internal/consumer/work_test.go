package consumer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

func TestEachGPUGeneratesOnAllItsSlotsAndNeverMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.publish = func(ctx context.Context, _ pipeline.Results) error {
			outage.Sleep(ctx, 150*time.Millisecond)
			return nil
		}
		a, b := &fakeModel{}, &fakeModel{}
		for i := range 150 {
			w.add(i, 1, "a", "b", "c", "d")
		}
		r := w.start(config(), LaneConfig{Name: "a", Backend: a, Slots: 3}, LaneConfig{Name: "b", Backend: b, Slots: 2})
		time.Sleep(500 * time.Millisecond)
		synctest.Wait()
		onA, _ := a.busy()
		onB, _ := b.busy()
		if held, _ := w.holds(); onA != 3 || onB != 2 || held != 3+2+2+2 {
			t.Errorf("%d and %d generations at once, %d batches held; want 3, 2 and 9", onA, onB, held)
		}
		time.Sleep(123 * time.Second) // 600 seconds of work on five slots, and nothing for the hops between
		synctest.Wait()
		if n := len(w.only("ack")); n != 150 {
			t.Errorf("%d of 150 batches are done after 123.5 s", n)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
		_, onA = a.busy()
		_, onB = b.busy()
		if _, held := w.holds(); onA != 3 || onB != 2 || held != 9 {
			t.Errorf("at most %d and %d at once and %d batches held, want 3, 2 and 9", onA, onB, held)
		}
	})
}

func TestResultsArePublishedBeforeTheBatchIsAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add(7, 1, "p0", "p1")
		r := w.start(config(), LaneConfig{Name: "T4", Backend: &fakeModel{}, Slots: 1})
		time.Sleep(time.Minute)
		if err := r.end(); err != nil {
			t.Fatal(err)
		}
		result := func(i int) pipeline.Result {
			return pipeline.Result{
				Index: i, Item: 70 + i, Sample: 1, Text: "42", Finish: "stop", PromptTokens: 60, OutputTokens: 60, ThinkingTokens: 20, DurationMS: 1000,
				CreatedAt: w.begin.Add(time.Duration(i+1) * time.Second).UTC(),
			}
		}
		want := []event{
			{what: "take", batch: 7},
			{what: "publish", batch: 7, at: 2 * time.Second, sent: pipeline.Results{
				Run: "r", UID: "u", Batch: 7, Round: 2, Token: pipeline.Token("token"), Consumer: "c1", GPU: "T4", Results: []pipeline.Result{result(0), result(1)},
			}},
			{what: "ack", batch: 7, at: 2 * time.Second},
		}
		if diff := cmp.Diff(want, w.of(7), cmp.AllowUnexported(event{})); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if err := w.of(7)[1].sent.Validate(); err != nil {
			t.Errorf("the sink would refuse it: %v", err)
		}
	})
}

func TestAModelIsAskedForWhatTheMessageSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld(t), &fakeModel{}
		w.add(7, 1, "p0")
		r := w.start(config(), LaneConfig{Backend: m, Slots: 1})
		time.Sleep(time.Minute)
		want := []pipeline.Request{{Model: "tiny", Messages: []pipeline.Message{{Role: pipeline.RoleSystem, Content: "sys"}, {Role: pipeline.RoleUser, Content: "p0"}}, Seed: 1000, Options: pipeline.Options{NumPredict: 100}}}
		if diff := cmp.Diff(want, m.asked(), cmpopts.IgnoreFields(pipeline.Request{}, "OnTokens")); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestABatchIsNotAcknowledgedWhenPublishingFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.publish = func(context.Context, pipeline.Results) error { return errors.New("no stream") }
		w.add(1, 1, "p")
		r := w.start(config(), LaneConfig{Backend: &fakeModel{}, Slots: 1})
		time.Sleep(time.Minute)
		if diff := cmp.Diff([]string{"take", "hand-back"}, w.story(1)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

// A newer consumer may be able to read it, so it goes back for long, but not for ever.
func TestAnUnreadableMessageIsHandedBackAndInTheEndRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld(t), &fakeModel{}
		deliveries := 0
		w.again = func(batch int) {
			deliveries++
			w.queue <- pipeline.Delivery[pipeline.Work]{
				Err: errors.New("of another version"), Subject: "work.r.1", Deliveries: deliveries, Receipt: &receipt{w, batch},
			}
		}
		w.again(1)
		cfg := config()
		cfg.Rest = 30 * time.Second
		r := w.start(cfg, LaneConfig{Backend: m, Slots: 1})
		time.Sleep(24 * time.Hour)
		events := w.of(1)
		if len(events) != maxDeliveries+1 || events[maxDeliveries].what != "reject" {
			t.Fatalf("%d events, the last is %+v", len(events), events[len(events)-1])
		}
		for i, e := range events[:maxDeliveries] {
			if want := min(cfg.Rest<<min(i, 10), maxRestAlone); e.what != "hand-back" || !about(e.delay, want) {
				t.Errorf("after %d deliveries: %s for %s, want a hand-back for %s", i+1, e.what, e.delay, want)
			}
		}
		if err := r.end(); err != nil || len(m.asked()) != 0 {
			t.Errorf("%d generations, %v", len(m.asked()), err)
		}
	})
}

func TestALeaseIsRenewedWhileABatchIsHeldAndNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		slow := &fakeModel{answer: func(ctx context.Context, _ int, _ pipeline.Request) (pipeline.Completion, error) {
			return after(ctx, 10*time.Minute)
		}}
		w.publish = func(ctx context.Context, _ pipeline.Results) error { outage.Sleep(ctx, 10*time.Minute); return nil } // the stream is full
		w.add(1, 1, "p")
		r := w.start(Config{Identity: config().Identity, Lease: 90 * time.Second}, LaneConfig{Backend: slow, Slots: 1})
		time.Sleep(time.Hour)
		last := time.Duration(0)
		for _, e := range append(w.only("extend"), w.only("ack")...) {
			if gap := e.at - last; gap > 33*time.Second || e.what == "extend" && gap < 27*time.Second {
				t.Errorf("%s after %s, %s after the renewal before", e.what, e.at, gap)
			}
			last = e.at
		}
		if last != 20*time.Minute {
			t.Errorf("the last sign of life is after %s, want the ack after 20 minutes", last)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestALeaseIsNotRenewedAfterABatchWasHandedBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		bad := &fakeModel{answer: func(ctx context.Context, _ int, _ pipeline.Request) (pipeline.Completion, error) {
			outage.Sleep(ctx, time.Minute)
			return pipeline.Completion{}, pipeline.Fail(pipeline.Retryable, "away")
		}}
		w.add(1, 1, "p")
		r := w.start(config(), LaneConfig{Backend: bad, Slots: 1})
		time.Sleep(time.Hour)
		for _, e := range w.only("extend") {
			if back := w.only("hand-back")[0].at; e.at > back {
				t.Errorf("renewed after %s, handed back after %s", e.at, back)
			}
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

// A slow receipt takes its time to hand back.
type slow struct{ *receipt }

func (s slow) HandBack(ctx context.Context, delay time.Duration) error {
	s.w.note(event{what: "begin", batch: s.batch})
	outage.Sleep(ctx, 5*time.Second)
	return s.receipt.HandBack(ctx, delay)
}

// A renewal would undo the delay.
func TestALeaseIsNotRenewedWhileABatchIsHandedBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld(t), &fakeModel{answer: failing(map[string][]pipeline.Class{"p": {pipeline.Fatal}})}
		w.add(1, 1, "p")
		d := await(t, "a batch on the queue", w.queue, bubbleTime)
		d.Receipt = slow{&receipt{w, 1}}
		w.queue <- d
		cfg := config()
		cfg.Lease = 900 * time.Millisecond
		r := w.start(cfg, LaneConfig{Backend: m, Slots: 1})
		time.Sleep(20 * time.Second)
		for _, e := range w.only("extend") {
			if begin := w.only("begin")[0].at; e.at > begin {
				t.Errorf("renewed after %s, when handing back had begun after %s", e.at, begin)
			}
		}
		if len(w.only("extend")) == 0 || len(w.only("hand-back")) != 1 {
			t.Errorf("%v", w.story(1))
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestWorkIsAskedForAgainAfterAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.failing = errors.New("no such stream")
		r := w.start(config(), LaneConfig{Backend: &fakeModel{}, Slots: 1})
		time.Sleep(10*time.Second + time.Millisecond)
		synctest.Wait()
		if n, _ := w.calls(); n != 3*11 {
			t.Errorf("asked %d times in 10 s by three workers, want 33", n)
		}
		w.mu.Lock()
		w.failing = nil
		w.mu.Unlock()
		w.add(1, 1, "p")
		time.Sleep(time.Minute)
		if diff := cmp.Diff([]string{"take", "publish", "ack"}, w.story(1)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestTheConsumerSaysWhoAndHowItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add(1, 1, "p", "q")
		cfg := config()
		cfg.Lease = 30 * time.Second
		r := w.start(cfg, LaneConfig{Name: "T4", Backend: &fakeModel{}, Slots: 2})
		synctest.Wait()
		want := pipeline.Presence{ID: "c1", Run: "r", Host: "h", Tokens: true, Started: w.begin.UTC(), Seen: w.begin.UTC(), GPUs: []pipeline.GPUStatus{{Name: "T4", State: "serving", Slots: 2, Busy: 1}}}
		if diff := cmp.Diff(want, w.lastPresence(), cmpopts.IgnoreFields(pipeline.GPUStatus{}, "Busy")); diff != "" {
			t.Errorf("at the beginning (-want +got):\n%s", diff)
		}
		time.Sleep(95 * time.Second)
		synctest.Wait()
		if _, n := w.calls(); n != 2+3 {
			t.Errorf("%d reports in 95 s, want one at once, one soon after, and one each lease of 30 s", n)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
		want.Seen = w.begin.Add(95 * time.Second).UTC()
		want.GPUs = []pipeline.GPUStatus{{Name: "T4", State: "stopped", Slots: 2, Generations: 2, OutputTokens: 120}}
		if diff := cmp.Diff(want, w.lastPresence()); diff != "" {
			t.Errorf("at the end (-want +got):\n%s", diff)
		}
	})
}

func TestAConsumerWorksWhileItsReportsAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.present = errors.New("no such bucket")
		w.add(1, 1, "p")
		r := w.start(config(), LaneConfig{Backend: &fakeModel{}, Slots: 1})
		time.Sleep(time.Minute)
		if err := r.end(); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"take", "publish", "ack"}, w.story(1)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// Others look at a consumer while it starts and works.
func TestASnapshotMayBeTakenAtAnyTime(t *testing.T) {
	w := newWorld(t)
	for i := range 100 {
		w.add(i, 1, "p")
	}
	at := &fakeModel{answer: func(ctx context.Context, _ int, _ pipeline.Request) (pipeline.Completion, error) {
		return after(ctx, 0)
	}}
	c, err := New(config(), w.gpu, w, []LaneConfig{{Backend: at, Slots: 4}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	for limit := time.Now().Add(realTime); c.Snapshot().GPUs[0].Generations < 100; {
		if time.Now().After(limit) {
			t.Fatalf("%d of 100 generations within %s", c.Snapshot().GPUs[0].Generations, realTime)
		}
		if c.Snapshot().Started.IsZero() {
			t.Fatal("it does not say when it started")
		}
	}
	stop()
	if err := await(t, "the end of a consumer that was stopped", done, realTime); err != nil {
		t.Error(err)
	}
}

func TestTokensPerSecondAreThoseOfTheLastMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for i := range 180 {
			w.add(i, 1, "p") // 60 tokens in a second, one after the other
		}
		r := w.start(config(), LaneConfig{Backend: &fakeModel{}, Slots: 1})
		rate := func() float64 {
			synctest.Wait()
			return r.Snapshot().GPUs[0].TokensPerSecond
		}
		for _, c := range []struct {
			wait time.Duration
			want float64
		}{
			{500 * time.Millisecond, 0}, {time.Second, 60 / 1.5}, {9 * time.Second, 10 * 60 / 10.5}, {90 * time.Second, 60},
			{100 * time.Second, 40}, // the work was over 20.5 seconds ago: 40 answers in the last minute
			{time.Minute, 0},
		} {
			time.Sleep(c.wait)
			if got := rate(); got < 0.97*c.want || got > 1.03*c.want {
				t.Errorf("after %s: %.1f tokens per second, want %.1f", time.Since(w.begin), got, c.want)
			}
		}
		if n := len(r.lanes[0].answers.recent); n > 61 {
			t.Errorf("%d samples of a minute are kept", n)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

// Answers of a minute and more leave minutes in which none ends.
func TestABusyGPUHasTheRateOfItsWorkSoFar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var answers throughput
		began := time.Now()
		time.Sleep(100 * time.Second)
		if got := answers.PerSecond(began, true); got != 0 {
			t.Errorf("before its first answer it makes %g tokens a second", got)
		}
		answers.Add(1000)
		time.Sleep(100 * time.Second)
		if got := answers.PerSecond(began, true); got != 5 {
			t.Errorf("1,000 tokens in 200 s are %g a second", got)
		}
		if got := answers.PerSecond(began, false); got != 0 {
			t.Errorf("without work it makes %g tokens a second", got)
		}
	})
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	w := newWorld(t)
	gpus := []LaneConfig{{Name: "T4", Backend: &fakeModel{}, Slots: 1}}
	for _, c := range []struct {
		change func(*Config, *[]LaneConfig)
		want   string
	}{
		{func(*Config, *[]LaneConfig) {}, ""},
		{func(c *Config, _ *[]LaneConfig) { c.Identity.ID = "" }, "no id"},
		{func(_ *Config, g *[]LaneConfig) { *g = nil }, "no GPU"},
		{func(_ *Config, g *[]LaneConfig) { *g = []LaneConfig{{Name: "T4", Backend: &fakeModel{}}} }, "GPU 0 (T4): needs a model and at least one slot, has 0"},
		{func(_ *Config, g *[]LaneConfig) { *g = []LaneConfig{{Slots: 1}} }, "needs a model"},
		{func(c *Config, _ *[]LaneConfig) { c.Lease = 1 }, "a lease of 1ns is too short"},
		{func(c *Config, _ *[]LaneConfig) { c.Grace = -time.Second }, "a grace of -1s is too short"},
		{func(c *Config, _ *[]LaneConfig) { c.Rest = -1 }, "a rest of -1ns is too short"},
	} {
		cfg, g := config(), gpus
		c.change(&cfg, &g)
		_, err := New(cfg, w.gpu, w, g)
		if got := fmt.Sprint(err); c.want == "" && err != nil || !strings.Contains(got, c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
	if _, err := New(config(), nil, w, gpus); err == nil {
		t.Error("a consumer without a source of work")
	}
}
