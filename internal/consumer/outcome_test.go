package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

func TestADeadLetterHoldsAllThatIsNeededToTryAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld(t), &fakeModel{answer: failing(map[string][]pipeline.Class{"bad": {pipeline.BadItem}, "cut": {pipeline.Truncated}})}
		w.add(7, 3, "cut", "good", "bad")
		r := w.start(config(), LaneConfig{Name: "T4", Backend: m, Slots: 1})
		time.Sleep(time.Minute)
		if err := r.end(); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"take", "publish", "dead", "ack"}, w.story(7)); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		want := pipeline.DeadLetter{
			Run: "r", UID: "u", Batch: 7, Round: 2, Token: pipeline.Token("token"), Class: pipeline.Truncated, Message: "it is truncated",
			Failures: []pipeline.GenerationFailure{
				{Generation: pipeline.Generation{Index: 0, Item: 70, Sample: 1, Seed: 1000, Messages: pipeline.User("cut")}, Class: pipeline.Truncated, Message: "it is truncated", Attempts: 2,
					Judge: pipeline.LaneID{Consumer: "c1", GPU: "T4"}, Outcome: 1, Seconds: 2},
				{Generation: pipeline.Generation{Index: 2, Item: 72, Sample: 1, Seed: 1002, Messages: pipeline.User("bad")}, Class: pipeline.BadItem, Message: "it is bad-item", Attempts: 1,
					Judge: pipeline.LaneID{Consumer: "c1", GPU: "T4"}, Outcome: 2, Seconds: 1},
			},
			Deliveries: 3, Consumer: "c1", GPU: "T4", Model: "tiny", Options: pipeline.Options{NumPredict: 100}, Shared: []pipeline.Message{{Role: pipeline.RoleSystem, Content: "sys"}},
			Judged: []pipeline.LaneID{{Consumer: "c1", GPU: "T4"}}, FailedAt: w.begin.Add(4 * time.Second).UTC(),
		}
		if diff := cmp.Diff(want, w.of(7)[2].dead); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]int{1}, w.stored(7)); diff != "" {
			t.Errorf("published (-want +got):\n%s", diff)
		}
	})
}

func TestWhatWasDeliveredTooOftenIsNotRunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld(t), &fakeModel{}
		w.add(1, 25, "a", "b")
		w.add(2, 26, "c", "d")
		r := w.start(config(), LaneConfig{Backend: m, Slots: 1})
		time.Sleep(time.Minute)
		if err := r.end(); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"take", "publish", "ack"}, w.story(1)); diff != "" {
			t.Errorf("delivered 25 times (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"take", "dead", "ack"}, w.story(2)); diff != "" {
			t.Errorf("delivered 26 times (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(map[int]pipeline.Class{0: pipeline.Undeliverable, 1: pipeline.Undeliverable}, w.failed(2)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if letter := w.only("dead")[0].dead; letter.Deliveries != 26 || !strings.Contains(letter.Message, "26 times") || letter.Failures[1].Prompt() != "d" {
			t.Errorf("%+v", letter)
		}
		if n := len(m.asked()); n != 2 {
			t.Errorf("%d generations", n)
		}
	})
}

// Only a batch whose generations all have an outcome is finished.
func TestABatchThatIsHandedBackHasNoDeadLetter(t *testing.T) {
	for _, class := range []pipeline.Class{pipeline.Retryable, pipeline.Fatal} {
		t.Run(string(class), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, m := newWorld(t), &fakeModel{answer: failing(map[string][]pipeline.Class{"bad": {pipeline.BadItem}, "open": {class}, pipeline.CanaryPrompt: {class}})}
				w.add(1, 1, "good", "bad", "open", "good")
				r := w.start(config(), LaneConfig{Backend: m, Slots: 1})
				time.Sleep(25 * time.Second)
				if diff := cmp.Diff([]string{"take", "publish", "hand-back"}, w.story(1)); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if diff := cmp.Diff([]int{0}, w.stored(1)); diff != "" {
					t.Errorf("published (-want +got):\n%s", diff)
				}
				if err := r.end(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestNoDeadLetterGoesAheadOfItsResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld(t), &fakeModel{answer: failing(map[string][]pipeline.Class{"bad": {pipeline.BadItem}})}
		w.publish = func(context.Context, pipeline.Results) error { return errors.New("no stream") }
		w.add(1, 1, "good", "bad")
		r := w.start(config(), LaneConfig{Backend: m, Slots: 1})
		time.Sleep(time.Minute)
		if diff := cmp.Diff([]string{"take", "hand-back"}, w.story(1)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

// Answers that no message has room for would be generated again without end.
func TestAnAnswerThatIsTooLargeForNATSIsInTheDeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld(t), &fakeModel{}
		w.publish = func(_ context.Context, r pipeline.Results) error {
			return fmt.Errorf("publish: %w", &pipeline.SizeError{Bytes: 70_000, Limit: 60_000, Indexes: []int{1}})
		}
		w.add(1, 1, "good", "long", "good")
		r := w.start(config(), LaneConfig{Name: "T4", Backend: m, Slots: 1})
		time.Sleep(time.Minute)
		if err := r.end(); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(map[int]pipeline.Class{1: pipeline.TooLarge}, w.failed(1)); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		f := w.only("dead")[0].dead.Failures[0]
		for _, part := range []string{"too large for the NATS server, which takes about 60,000 bytes in one message", "Raise max_payload in the server's configuration, or limit the answers (--num-predict)"} {
			if !strings.Contains(f.Message, part) {
				t.Errorf("%q does not say %q", f.Message, part)
			}
		}
		if f.Doubtful() || f.Judge.GPU != "T4" || f.Prompt() != "long" {
			t.Errorf("%+v", f)
		}
		if n := len(m.asked()); n != 3 {
			t.Errorf("%d generations", n)
		}
	})
}

func TestABatchIsKeptWhileTheDeadLetterStreamIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld(t), &fakeModel{answer: failing(map[string][]pipeline.Class{"bad": {pipeline.BadItem}})}
		full := make(chan struct{})
		w.dying = func(ctx context.Context, _ pipeline.DeadLetter) error {
			select {
			case <-full:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		w.add(1, 1, "good", "bad")
		w.add(2, 1, "bad")
		r := w.start(config(), LaneConfig{Backend: m, Slots: 1})
		time.Sleep(time.Hour)
		synctest.Wait()
		if now, _ := w.holds(); now != 2 || len(w.only("extend")) < 2*100 {
			t.Errorf("%d batches held, renewed %d times in an hour", now, len(w.only("extend")))
		}
		close(full)
		time.Sleep(time.Second)
		if diff := cmp.Diff([]string{"take", "publish", "dead", "ack"}, w.story(1)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestAStopHandsBackWhatWaitsForTheDeadLetterStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld(t), &fakeModel{answer: failing(map[string][]pipeline.Class{"bad": {pipeline.BadItem}})}
		w.dying = func(ctx context.Context, _ pipeline.DeadLetter) error { <-ctx.Done(); return ctx.Err() }
		w.add(1, 1, "good", "bad")
		took, err := w.stopAfter(10*time.Second, grace(time.Second), LaneConfig{Backend: m, Slots: 1})
		if !errors.Is(err, ErrCut) || took != time.Second+publishGrace {
			t.Errorf("stopped after %s: %v", took, err)
		}
		if diff := cmp.Diff([]string{"take", "publish", "hand-back"}, w.story(1)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if got := w.handedBack(1); got != 0 {
			t.Errorf("rests %s", got)
		}
	})
}

func TestADeadLetterThatIsRefusedHandsTheBatchBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld(t), &fakeModel{answer: failing(map[string][]pipeline.Class{"bad": {pipeline.BadItem}})}
		w.dying = func(context.Context, pipeline.DeadLetter) error { return errors.New("no stream") }
		w.add(1, 3, "bad")
		r := w.start(config(), LaneConfig{Backend: m, Slots: 1})
		time.Sleep(time.Minute)
		if got := w.handedBack(1); !about(got, maxRestAlone) {
			t.Errorf("rests %s", got)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestALetterOfManyFailuresFitsIntoAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld(t), &fakeModel{answer: func(context.Context, int, pipeline.Request) (pipeline.Completion, error) {
			return pipeline.Completion{}, pipeline.Fail(pipeline.BadItem, "%w", &pipeline.ContextError{Err: errors.New(strings.Repeat("\xffä", 10_000))})
		}}
		w.add(1, 1, slices.Repeat([]string{"p"}, pipeline.MaxBatch)...)
		r := w.start(config(), LaneConfig{Backend: m, Slots: 1})
		time.Sleep(time.Minute)
		if err := r.end(); err != nil {
			t.Error(err)
		}
		sum := 0
		for _, f := range w.only("dead")[0].dead.Failures {
			sum += len(f.Message)
		}
		if sum > maxLetterMessage || sum < maxLetterMessage/2 {
			t.Errorf("%d bytes of messages", sum)
		}
	})
}
