package consumer

import (
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"gleaner/internal/pipeline"
)

// rests are the batches that a lane handed back with a delay that is not over. They tell people
// when the work goes on.
type rests struct {
	mu      sync.Mutex
	due     map[int]time.Time // by batch
	because string            // of the last one
}

// Add takes in a batch that rests.
func (r *rests) Add(batch int, delay time.Duration, because string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget()
	if r.due == nil {
		r.due = map[int]time.Time{}
	}
	r.due[batch], r.because = time.Now().Add(delay), because
}

// report adds them to what people see of the GPU.
func (r *rests) report(s *pipeline.GPUStatus) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.forget(); len(r.due) == 0 {
		return
	}
	batches := slices.SortedFunc(maps.Keys(r.due), func(a, b int) int { return r.due[a].Compare(r.due[b]) })
	s.Resting, s.RestingBecause, s.RestingBatches = len(batches), r.because, batches[:min(len(batches), pipeline.MaxRestingNamed)]
	s.RestSeconds = max(math.Round(time.Until(r.due[batches[0]]).Seconds()*10)/10, 0)
}

// forget drops those whose delay is over. The caller holds mu.
func (r *rests) forget() {
	maps.DeleteFunc(r.due, func(_ int, due time.Time) bool { return !due.After(time.Now()) })
}
