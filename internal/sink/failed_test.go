package sink

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

// A drawer holds dead letters in memory.
type drawer struct {
	letters []pipeline.StoredDeadLetter
	errs    map[int]error // of reading the letter of a batch
	asked   []int         // batches whose letters were read one by one
}

func (d *drawer) DeadLetters(context.Context, string) iter.Seq2[pipeline.StoredDeadLetter, error] {
	return func(yield func(pipeline.StoredDeadLetter, error) bool) {
		for _, letter := range d.letters {
			if !yield(letter, d.errs[letter.Batch]) {
				return
			}
		}
	}
}

func (d *drawer) DeadLetter(_ context.Context, _ string, batch int) (pipeline.StoredDeadLetter, bool, error) {
	d.asked = append(d.asked, batch)
	for _, letter := range d.letters {
		if letter.Batch == batch {
			return letter, true, d.errs[batch]
		}
	}
	return pipeline.StoredDeadLetter{}, false, nil
}

// letterOf is the letter of a batch about some items of one sample each.
func letterOf(batch int, uid string, items ...int) (letter pipeline.StoredDeadLetter) {
	letter.Run, letter.UID, letter.Batch = "r", uid, batch
	for _, item := range items {
		letter.Failures = append(letter.Failures, pipeline.GenerationFailure{
			Generation: pipeline.Generation{Item: item}, Class: pipeline.Truncated, Message: fmt.Sprintf("item %d is too long", item), Text: "so far",
		})
	}
	return letter
}

// explained returns why the generations that are missing failed, by item.
func explained(t *testing.T, d *drawer, there ...bool) map[int]string {
	t.Helper()
	run := pipeline.Run{Name: "r", UID: "u", Spec: pipeline.Spec{Samples: 1}}
	why := map[int]string{}
	for answer, err := range WithFailures(t.Context(), run, answers(nil, there...), d) {
		if err != nil {
			t.Fatal(err)
		}
		if answer.Failure != nil {
			why[answer.Item] = answer.Failure.Message
		}
	}
	return why
}

func TestWhatIsMissingComesWithWhyAndEachLetterIsReadOnce(t *testing.T) {
	d := &drawer{letters: []pipeline.StoredDeadLetter{letterOf(2, "u", 6, 7), letterOf(0, "u", 0, 2), letterOf(1, "earlier", 3), letterOf(3, "u", 9)},
		errs: map[int]error{3: pipeline.Fail(pipeline.BadItem, "not to be read")}}
	got := explained(t, d, false, true, false, false, true, true, true, false, true, false)
	want := map[int]string{0: "item 0 is too long", 2: "item 2 is too long", 7: "item 7 is too long"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !slices.Equal(d.asked, []int{0, 2}) {
		t.Errorf("the letters of these batches were read: %v", d.asked)
	}
}

// What was forged is not exported as the reason why there is no answer.
func TestALetterWithoutItsTokenIsNoReason(t *testing.T) {
	run := pipeline.Run{Name: "r", UID: "u", Key: pipeline.NewKey(), Spec: pipeline.Spec{Samples: 1}}
	forged, good := letterOf(0, "u", 0), letterOf(1, "u", 1)
	forged.Round, good.Round = 1, 1
	good.Token = run.Key.Token("u", 1, 1)
	var why []string
	for answer, err := range WithFailures(t.Context(), run, answers(nil, false, false), &drawer{letters: []pipeline.StoredDeadLetter{forged, good}}) {
		if err != nil {
			t.Fatal(err)
		}
		if answer.Failure != nil {
			why = append(why, answer.Failure.Message)
		}
	}
	if !slices.Equal(why, []string{"item 1 is too long"}) {
		t.Errorf("the reasons are %q", why)
	}
}

func TestALetterThatIsRemovedMeanwhileExplainsNothing(t *testing.T) {
	d := &drawer{letters: []pipeline.StoredDeadLetter{letterOf(0, "u", 0, 1)}}
	run := pipeline.Run{Name: "r", UID: "u", Spec: pipeline.Spec{Samples: 1}}
	for answer, err := range WithFailures(t.Context(), run, answers(nil, true, false), d) {
		if err != nil || answer.Failure != nil {
			t.Errorf("item %d: %+v, %v", answer.Item, answer.Failure, err)
		}
		d.letters = nil
	}
}

func TestAnExportWithFailuresEndsWithTheFirstError(t *testing.T) {
	broken := errors.New("the stream is away")
	d := &drawer{letters: []pipeline.StoredDeadLetter{letterOf(0, "u", 0)}, errs: map[int]error{0: broken}}
	run := pipeline.Run{Name: "r", UID: "u", Spec: pipeline.Spec{Samples: 1}}
	for _, answers := range []iter.Seq2[pipeline.Answer, error]{
		WithFailures(t.Context(), run, answers(nil, false), d),
		WithFailures(t.Context(), run, answers(broken, true), &drawer{}),
	} {
		var out sheet
		if err := Export(t.Context(), answers, &out, nil); !errors.Is(err, broken) {
			t.Errorf("it ended with %v", err)
		}
	}
}
