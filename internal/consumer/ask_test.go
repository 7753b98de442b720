package consumer

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

func askRequests(n int) (requests []pipeline.Request) {
	for i := range n {
		requests = append(requests, pipeline.Request{Model: "m", Messages: pipeline.User(fmt.Sprintf("prompt %d", i)), Seed: i, Options: pipeline.Options{NumPredict: 10}})
	}
	return requests
}

func TestRepliesComeInOrderFromAllSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &fakeModel{answer: func(ctx context.Context, try int, r pipeline.Request) (pipeline.Completion, error) {
			return after(ctx, time.Duration(10-r.Seed)*time.Second) // the first takes longest
		}}
		var order []int
		began := time.Now()
		err := Ask(t.Context(), Config{}, []LaneConfig{{Name: "a", Backend: slow, Slots: 2}, {Name: "b", Backend: slow, Slots: 3}}, askRequests(5), func(i int, r Reply) error {
			if r.Err != nil || r.Completion.Text != "42" {
				t.Errorf("request %d: %+v", i, r)
			}
			order = append(order, i)
			return nil
		})
		if diff := cmp.Diff([]int{0, 1, 2, 3, 4}, order); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("it took %s, as if the slots were not used together", took)
		}
		if _, most := slow.busy(); most != 5 {
			t.Errorf("%d requests at a time, want 5", most)
		}
	})
}

// A preview is no run: a failure is shown as it came, with what there was of the answer.
func TestARequestIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cut := pipeline.Fail(pipeline.Truncated, "cut off")
		model := &fakeModel{answer: func(context.Context, int, pipeline.Request) (pipeline.Completion, error) {
			return pipeline.Completion{Text: "so far"}, cut
		}}
		err := Ask(t.Context(), Config{}, []LaneConfig{{Name: "a", Backend: model, Slots: 2}}, askRequests(3), func(_ int, r Reply) error {
			if !errors.Is(r.Err, cut) || r.Completion.Text != "so far" {
				t.Errorf("%+v", r)
			}
			return nil
		})
		if err != nil || len(model.asked()) != 3 {
			t.Errorf("%v; %d requests were sent for 3", err, len(model.asked()))
		}
	})
}

func TestAnAnswerThatIsAskedForHasToFitItsSchema(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		model := &fakeModel{answer: func(_ context.Context, _ int, r pipeline.Request) (pipeline.Completion, error) {
			return pipeline.Completion{Text: []string{"```json\n{\"a\":1}\n```", "no"}[r.Seed], PromptTokens: 60}, nil
		}}
		requests := askRequests(2)
		for i := range requests {
			requests[i].Options.Schema = []byte(`{"required":["a"]}`)
		}
		err := Ask(t.Context(), Config{}, []LaneConfig{{Name: "a", Backend: model, Slots: 1}}, requests, func(i int, r Reply) error {
			switch {
			case i == 0 && (r.Err != nil || r.Completion.Text != `{"a":1}`):
				t.Errorf("what stands around the JSON stays: %+v", r)
			case i == 1 && pipeline.ClassOf(r.Err) != pipeline.Malformed:
				t.Errorf("what does not fit is taken: %+v", r)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// A server that hangs is found out as a lane does, which knows what its client does not.
func TestAskingFindsAServerThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		model := &fakeModel{answer: func(ctx context.Context, _ int, r pipeline.Request) (pipeline.Completion, error) {
			r.CountTokens(1)
			<-ctx.Done()
			return pipeline.Completion{}, ctx.Err()
		}}
		err := Ask(t.Context(), Config{Stall: 10 * time.Second}, []LaneConfig{{Name: "a", Backend: model, Slots: 1}}, askRequests(1), func(_ int, r Reply) error {
			if !errors.Is(r.Err, pipeline.ErrStalled) {
				t.Errorf("it ends with %v", r.Err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestAskingEndsWithItsContextAndWithAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		slow := &fakeModel{answer: func(ctx context.Context, _ int, _ pipeline.Request) (pipeline.Completion, error) {
			return after(ctx, time.Minute)
		}}
		came := 0
		err := Ask(ctx, Config{}, []LaneConfig{{Name: "a", Backend: slow, Slots: 1}}, askRequests(5), func(int, Reply) error { came++; return nil })
		if !errors.Is(err, context.DeadlineExceeded) || came != 1 {
			t.Errorf("%d replies came, and it ends with %v", came, err)
		}
		full := errors.New("the disk is full")
		if err := Ask(t.Context(), Config{}, []LaneConfig{{Name: "a", Backend: slow, Slots: 1}}, askRequests(5), func(int, Reply) error { return full }); !errors.Is(err, full) {
			t.Errorf("the error of the caller is lost: %v", err)
		}
		if err := Ask(t.Context(), Config{}, []LaneConfig{{Name: "a", Backend: slow, Slots: 1}}, nil, nil); err != nil {
			t.Errorf("nothing to ask: %v", err)
		}
	})
}
