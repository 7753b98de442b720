package reconcile

import (
	"testing"

	"gleaner/internal/pipeline"
)

// Answers that pile up before the store are no time that the GPUs need, so people must see them.
func TestWhatIsGeneratedAndNotStoredIsCounted(t *testing.T) {
	m := &machine{world: newWorld(1, 1, 1, 1)}
	for i := range 4 {
		m.mark(i)
		m.publish(pipeline.Work{Run: testRun, UID: testUID, Batch: i, Round: 1, Generations: make([]pipeline.Generation, 1)})
	}
	l := m.engine(nil)
	reconciler := l.follow(testRun, 1)
	pass := func(want int) {
		t.Helper()
		if _, err := reconciler.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := l.Unstored(testRun); got != want {
			t.Errorf("%d batches wait for the store, want %d", got, want)
		}
	}
	pass(0)
	for i := range 3 {
		for h := m.take(i, nil); !m.step(h); {
		}
	}
	pass(0) // a few always do for a moment
	pass(3)
	for len(m.results) > 0 {
		m.sink(0, true)
	}
	pass(0)
}
