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

// A sheet takes lines, and writes each answer as its item and whether it has a result.
type sheet struct {
	lines      []string
	encodeFail int // the line that cannot be made; 0: all can
	writeFail  int
}

func (s *sheet) Line(a pipeline.Answer) ([]byte, error) {
	if s.encodeFail > 0 && len(s.lines) == s.encodeFail {
		return nil, errors.New("not to be encoded")
	}
	return fmt.Appendf(nil, "%d %v", a.Item, a.Result != nil), nil
}

func (s *sheet) Write(row []byte) error {
	if s.writeFail > 0 && len(s.lines) == s.writeFail {
		return errors.New("disk full")
	}
	s.lines = append(s.lines, string(row))
	return nil
}

func TestAnExportLeavesOutWhatIsMissingUnlessAllIsAskedFor(t *testing.T) {
	for _, c := range []struct {
		all   bool
		want  Exported
		lines []string
	}{
		{false, Exported{Lines: 3, Missing: 2}, []string{"0 true", "2 true", "3 true"}},
		{true, Exported{Lines: 5, Missing: 2}, []string{"0 true", "1 false", "2 true", "3 true", "4 false"}},
	} {
		var out sheet
		var seen []int
		got, err := Export(t.Context(), answers(nil, true, false, true, true, false), &out, &out, ExportOptions{All: c.all, Progress: func(n int) { seen = append(seen, n) }})
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("all %v: %v (-want +got):\n%s", c.all, err, diff)
		}
		if diff := cmp.Diff(c.lines, out.lines); diff != "" {
			t.Errorf("all %v (-want +got):\n%s", c.all, diff)
		}
		if diff := cmp.Diff([]int{1, 2, 3, 4, 5}, seen); diff != "" {
			t.Errorf("progress (-want +got):\n%s", diff)
		}
	}
}

func TestAnExportOfNothingIsEmpty(t *testing.T) {
	var out sheet
	if got, err := Export(t.Context(), answers(nil), &out, &out, ExportOptions{All: true}); err != nil || got != (Exported{}) || len(out.lines) != 0 {
		t.Errorf("%+v, %v, %v", got, err, out.lines)
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
		{"encoding", answers(nil, true, true, true), sheet{encodeFail: 2}, "not to be encoded"},
		{"writing", answers(nil, true, true, true), sheet{writeFail: 2}, "disk full"},
	} {
		got, err := Export(t.Context(), c.from, &c.out, &c.out, ExportOptions{})
		if err == nil || err.Error() != c.want || got.Lines != 2 || len(c.out.lines) != 2 {
			t.Errorf("%s: %v, %+v", c.name, err, got)
		}
	}
}

func TestAnExportEndsWithItsContext(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	var out sheet
	got, err := Export(ctx, answers(nil, true, true, true), &out, &out, ExportOptions{Progress: func(seen int) {
		if seen == 2 {
			stop()
		}
	}})
	if !errors.Is(err, context.Canceled) || got.Lines != 2 {
		t.Errorf("%v, %+v", err, got)
	}
}
