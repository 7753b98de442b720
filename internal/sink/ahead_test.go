package sink

import (
	"context"
	"errors"
	"iter"
	"strings"
	"testing"
	"testing/synctest"

	"gleaner/internal/pipeline"
)

// many yields n answers and then err, if there is one, and says whether it was left early.
func many(n int, err error, left *bool) iter.Seq2[pipeline.Answer, error] {
	return func(yield func(pipeline.Answer, error) bool) {
		for i := range n {
			a := pipeline.Answer{Item: i, Input: []byte(strings.Repeat("x", i%5000))}
			if !yield(a, nil) {
				*left = true
				return
			}
		}
		if err != nil {
			yield(pipeline.Answer{}, err)
		}
	}
}

func TestWhatIsReadAheadComesInOrderAndWhole(t *testing.T) {
	for _, n := range []int{0, 1, aheadAnswers, aheadAnswers + 1, 3000} {
		for _, failure := range []error{nil, errors.New("store away")} {
			next := 0
			var got error
			for a, err := range ahead(t.Context(), many(n, failure, new(bool))) {
				if err != nil {
					got = err
					continue
				}
				if a.Item != next || len(a.Input) != next%5000 {
					t.Fatalf("answer %d is %d with %d bytes", next, a.Item, len(a.Input))
				}
				next++
			}
			if next != n || !errors.Is(got, failure) {
				t.Errorf("of %d answers %d came, and then %v", n, next, got)
			}
		}
	}
}

// A loop that ends early ends what reads ahead of it, and so does its context.
func TestNothingIsReadAnyMoreOnceItIsNotWanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which fails if a goroutine is left
		left := false
		for a := range ahead(t.Context(), many(1_000_000, nil, &left)) {
			if a.Item == 100 {
				break
			}
		}
		if !left {
			t.Error("all was read")
		}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		left = false
		var got error
		for a, err := range ahead(ctx, many(1_000_000, nil, &left)) {
			if got = err; a.Item == 100 {
				stop()
			}
		}
		if !left || !errors.Is(got, context.Canceled) {
			t.Errorf("left early: %v, %v", left, got)
		}
	})
}
