package consumer

import (
	"math"
	"slices"
	"sync"
	"time"

	"gleaner/internal/pipeline"
)

// overdueSlack is how much longer than its answers a batch may be in progress: with what is
// tried again, and what waits for a slot and to be published.
const overdueSlack = 10 * time.Minute

// inHand knows since when a lane has its batches. The lease of a batch is renewed for as long as
// its worker has it, so a worker that hangs would keep it for ever, unseen.
type inHand struct {
	answerLimit time.Duration

	mu     sync.Mutex
	lastID int
	taken  map[int]heldBatch
}

type heldBatch struct {
	index int
	taken time.Time
	due   time.Time // when it is overdue
}

func newInHand(answerLimit time.Duration) *inHand {
	return &inHand{answerLimit: answerLimit, taken: map[int]heldBatch{}}
}

// Take counts a batch as in hand until release is called.
func (h *inHand) Take(work pipeline.Work) (release func()) {
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lastID++
	id := h.lastID
	h.taken[id] = heldBatch{work.Batch, now, now.Add(h.answerLimit*time.Duration(len(work.Generations)) + overdueSlack)}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.taken, id)
	}
}

// report adds what is overdue to what people see of the GPU.
func (h *inHand) report(s *pipeline.GPUStatus) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	for _, b := range h.taken {
		if now.After(b.due) {
			s.Overdue = append(s.Overdue, pipeline.OverdueBatch{Batch: b.index, Seconds: math.Round(now.Sub(b.taken).Seconds())})
		}
	}
	slices.SortFunc(s.Overdue, func(a, b pipeline.OverdueBatch) int { return int(b.Seconds - a.Seconds) })
	s.Overdue = s.Overdue[:min(len(s.Overdue), pipeline.MaxOverdueNamed)]
}
