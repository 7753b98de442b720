package sink

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

// answers yields generations 0, 1, …; those that are false have no result. At the end it fails
// with err, if there is one.
func answers(err error, there ...bool) iter.Seq2[pipeline.Answer, error] {
	return func(yield func(pipeline.Answer, error) bool) {
		for i, ok := range there {
			a := pipeline.Answer{Item: i}
			if ok {
				a.Result = &pipeline.StoredResult{Result: pipeline.Result{Item: i, Text: "x"}}
			}
			if !yield(a, nil) {
				return
			}
		}
		if err != nil {
			yield(pipeline.Answer{}, err)
		}
	}
}

// A sheet takes answers, and notes each as its item and whether it has a result.
type sheet struct {
	lines []string
	fail  int // the answer that cannot be written; 0: all can
}

func (s *sheet) Add(a pipeline.Answer) error {
	if s.fail > 0 && len(s.lines) == s.fail {
		return errors.New("disk full")
	}
	s.lines = append(s.lines, fmt.Sprint(a.Item, " ", a.Result != nil))
	return nil
}

func TestAnExportHandsOnEveryAnswerInOrder(t *testing.T) {
	var out sheet
	var seen []int
	if err := Export(t.Context(), answers(nil, true, false, true), &out, func(n int) { seen = append(seen, n) }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"0 true", "1 false", "2 true"}, out.lines); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int{1, 2, 3}, seen); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
}

func TestAnExportOfNothingIsEmpty(t *testing.T) {
	var out sheet
	if err := Export(t.Context(), answers(nil), &out, nil); err != nil || len(out.lines) != 0 {
		t.Errorf("%v, %v", err, out.lines)
	}
}

func TestAnExportEndsWithTheFirstError(t *testing.T) {
	for _, c := range []struct {
		name string
		from iter.Seq2[pipeline.Answer, error]
		out  sheet
		want string
	}{
		{"reading", answers(errors.New("store away"), true, true), sheet{}, "store away"},
		{"writing", answers(nil, true, true, true), sheet{fail: 2}, "disk full"},
	} {
		err := Export(t.Context(), c.from, &c.out, nil)
		if err == nil || err.Error() != c.want || len(c.out.lines) != 2 {
			t.Errorf("%s: %v, %v", c.name, err, c.out.lines)
		}
	}
}

func TestAnExportEndsWithItsContext(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	var out sheet
	err := Export(ctx, answers(nil, true, true, true), &out, func(seen int) {
		if seen == 2 {
			stop()
		}
	})
	if !errors.Is(err, context.Canceled) || len(out.lines) != 2 {
		t.Errorf("%v, %v", err, out.lines)
	}
}
