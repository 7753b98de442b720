package producer

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"gleaner/internal/pipeline"
)

// rowsOfSizes returns a store with a run of rows of these sizes, in batches of this many.
func rowsOfSizes(t testing.TB, batch int, sizes ...int) *fakeStore {
	t.Helper()
	lines := make([]string, len(sizes))
	for i, n := range sizes {
		lines[i] = fmt.Sprintf(`{"question":%q}`, strings.Repeat("x", n))
	}
	store := loaded(t, spec(), lines...)
	store.batches = map[int]pipeline.Batch{}
	for first := 0; first < len(sizes); first += batch {
		store.batches[first/batch] = pipeline.Batch{Run: "r", Index: first / batch, First: first, Count: min(batch, len(sizes)-first), State: pipeline.Planned, Round: 1}
	}
	store.run.Batches = len(store.batches)
	return store
}

// settle does what workers, sink and mirror do.
func settle(store *fakeStore, q *fakeQueue) {
	works := q.take(1 << 20)
	q.mu.Lock()
	defer q.mu.Unlock()
	store.mu.Lock()
	defer store.mu.Unlock()
	for _, work := range works {
		b := store.batches[work.Batch]
		for _, g := range work.Generations {
			b.Done = append(b.Done, g.Index)
		}
		slices.Sort(b.Done)
		b.Done = slices.Compact(b.Done)
		b.State = b.Settle()
		store.batches[work.Batch] = b
		if len(work.Final) > 0 {
			q.letters[work.Batch] = pipeline.DeadLetter{Run: "r", Batch: work.Batch, Round: work.Round, Failures: work.Final}
		}
	}
	for i, letter := range q.letters {
		if b := store.batches[i]; b.Round == letter.Round && b.State != pipeline.Done {
			b.Failed = append(b.Failed, letter.Failed()...)
			b.State = b.Settle()
			store.batches[i] = b
		}
	}
}

func indexesOf(generations []pipeline.Generation) (indexes []int) {
	for _, g := range generations {
		indexes = append(indexes, g.Index)
	}
	return indexes
}

func TestARowThatIsTooLargeForTheServerIsUnderALetterAndAllOthersGoOut(t *testing.T) {
	store, q := rowsOfSizes(t, 4, 10, 10, 10, 10, 10, 9000, 10, 10, 10, 10), newQueue()
	q.largest = 4000
	var order []string
	store.fault = func(call string) (before, after error) {
		if call == "MarkQueued" {
			order = append(order, "mark")
		}
		return nil, nil
	}
	q.lost = func(call string) error {
		if call == "PublishDeadLetter" || call == "Publish" && q.waiting[len(q.waiting)-1].Batch == 1 {
			order = append(order, call)
		}
		return nil
	}
	p := publisher(t, Config{}, store, q)
	if err := p.Publish(t.Context(), theRun); err != nil {
		t.Fatal(err)
	}
	// First those that are on the queue are marked, then the one that is divided.
	if diff := cmp.Diff([]string{"mark", "mark", "PublishDeadLetter", "Publish", "mark"}, order); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	letter := q.letters[1]
	if diff := cmp.Diff([]int{1}, letter.Failed()); diff != "" || letter.Class != pipeline.TooLarge || letter.Round != 1 || !slices.Equal(letter.Token, store.run.Key.Token(store.run.UID, 1, 1)) {
		t.Errorf("%s, %+v", diff, letter)
	}
	for _, part := range []string{"accepts 4,000 in one (max_payload)", "Raise max_payload in the server's configuration, or shorten the row"} {
		if !strings.Contains(letter.Message, part) {
			t.Errorf("%q does not say %q", letter.Message, part)
		}
	}
	if f := letter.Failures[0]; f.Prompt() != "" || f.Item != 5 || f.Seed == 0 {
		t.Errorf("%+v", f)
	}
	work := q.waiting[slices.IndexFunc(q.waiting, func(w pipeline.Work) bool { return w.Batch == 1 })]
	if diff := cmp.Diff(letter.Failures, work.Final); diff != "" || !slices.Equal(indexesOf(work.Generations), []int{0, 2, 3}) {
		t.Errorf("%v, verdicts (-want +got):\n%s", indexesOf(work.Generations), diff)
	}
	settle(store, q)
	if store.count(pipeline.Done) != 2 || store.count(pipeline.Dead) != 1 || p.Published() != 3 {
		t.Errorf("%v, %d published", store.batches, p.Published())
	}
}

func TestABatchOfWhichNothingCanBeSentIsUnderALetterAlone(t *testing.T) {
	store, q := rowsOfSizes(t, 2, 9000, 9000, 10), newQueue()
	q.largest = 4000
	if err := publisher(t, Config{}, store, q).Publish(t.Context(), theRun); err != nil {
		t.Fatal(err)
	}
	if len(q.waiting) != 1 || q.waiting[0].Batch != 1 || !slices.Equal(q.letters[0].Failed(), []int{0, 1}) {
		t.Errorf("%v, %v", q.waiting, q.letters)
	}
	settle(store, q)
	if store.count(pipeline.Done) != 1 || store.count(pipeline.Dead) != 1 {
		t.Error(store.batches)
	}
}

// Each row has room in a message, and all of them together have not: the others wait for the next
// round, which a reconciler gives them.
func TestABatchThatIsTooLargeGoesOutInPartsWithoutALetter(t *testing.T) {
	store, q := rowsOfSizes(t, 4, 1500, 1500, 1500, 1500), newQueue()
	q.largest = 4500
	if err := publisher(t, Config{}, store, q).Publish(t.Context(), theRun); err != nil {
		t.Fatal(err)
	}
	work := q.waiting[0]
	if !slices.Equal(indexesOf(work.Generations), []int{0, 1}) || len(q.letters) != 0 || len(work.Final) != 2 {
		t.Errorf("%v, letters %v", work, q.letters)
	}
	for _, f := range work.Final {
		if !f.Doubtful() || f.Prompt() != "" || !strings.Contains(f.Message, "smaller batches (--batch)") {
			t.Errorf("%+v", f)
		}
	}
}

// Whatever fails, and however many publish, in the end each row has an answer or is under a letter
// that says why not.
func TestEveryRowEndsWhereSomeAreTooLargeWhateverFails(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		sizes := rapid.SliceOfN(rapid.SampledFrom([]int{10, 700, 1400, 5000}), 1, 24).Draw(rt, "sizes")
		publishers := rapid.IntRange(1, 2).Draw(rt, "publishers")
		faults := rapid.IntRange(0, 30).Draw(rt, "faults in a hundred calls")
		limit := rapid.IntRange(1, 8).Draw(rt, "limit")
		problem := ""
		synctest.Test(t, func(t *testing.T) {
			dice := rand.New(rand.NewPCG(seed, 2))
			var throwing sync.Mutex
			fault := func(string) error {
				throwing.Lock()
				defer throwing.Unlock()
				if dice.IntN(100) < faults {
					return errAway
				}
				return nil
			}
			store, q := rowsOfSizes(t, 4, sizes...), newQueue()
			store.fault = func(call string) (before, after error) { return fault(call), fault(call) }
			q.limit, q.fault, q.lost, q.largest = limit, fault, fault, 3500
			publishTogether(t, publishers, Config{Poll: 100 * time.Millisecond}, store, q, settle)
			problem = unended(store, q, sizes)
		})
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}

// unended says which row has neither an answer nor a letter, or one that it should not have.
func unended(store *fakeStore, q *fakeQueue, sizes []int) string {
	for i, b := range store.batches {
		if b.State != pipeline.Done && b.State != pipeline.Dead {
			return fmt.Sprintf("batch %d is %s", i, b.State)
		}
		for _, index := range b.Missing() {
			at := slices.IndexFunc(q.letters[i].Failures, func(f pipeline.GenerationFailure) bool { return f.Index == index })
			if at < 0 {
				return fmt.Sprintf("generation %d of batch %d is under no letter", index, i)
			}
			if f := q.letters[i].Failures[at]; f.Class != pipeline.TooLarge || f.Crowded == (sizes[b.First+index] == 5000) {
				return fmt.Sprintf("generation %d of batch %d, of %d bytes: %+v", index, i, sizes[b.First+index], f)
			}
		}
	}
	return ""
}
