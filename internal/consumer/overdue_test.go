package consumer

import (
	"testing"
	"testing/synctest"
	"time"

	"gleaner/internal/pipeline"
)

func TestABatchThatIsInHandForLongerThanItsAnswersMayTakeIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newInHand(time.Minute)
		overdue := func() []pipeline.OverdueBatch {
			var s pipeline.GPUStatus
			h.report(&s)
			return s.Overdue
		}
		release := h.Take(pipeline.Work{Batch: 7, Generations: make([]pipeline.Generation, 3)})
		h.Take(pipeline.Work{Batch: 8, Generations: make([]pipeline.Generation, 8)})
		time.Sleep(13 * time.Minute) // three answers and ten minutes
		if got := overdue(); len(got) != 0 {
			t.Errorf("in time: %v", got)
		}
		time.Sleep(time.Second)
		if got := overdue(); len(got) != 1 || got[0] != (pipeline.OverdueBatch{Batch: 7, Seconds: 781}) {
			t.Errorf("too late: %v", got)
		}
		release()
		if got := overdue(); len(got) != 0 {
			t.Errorf("released: %v", got)
		}
	})
}
