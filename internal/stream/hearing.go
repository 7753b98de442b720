package stream

import (
	"sync"

	"gleaner/internal/pipeline"
)

// A hearing hears news of a run.
type hearing struct {
	mu     sync.Mutex
	ended  bool
	listen func(pipeline.RunNews)
}

// tell passes news on, unless the hearing has ended.
func (h *hearing) tell(news pipeline.RunNews) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.ended {
		h.listen(news)
	}
}

// hearings are those of one connection. The zero value is ready.
type hearings struct{ all sync.Map }

func (h *hearings) add(one *hearing) { h.all.Store(one, nil) }

func (h *hearings) end(one *hearing) {
	h.all.Delete(one)
	one.mu.Lock()
	defer one.mu.Unlock()
	one.ended = true
}

// missed tells all of them that some news may have been missed.
func (h *hearings) missed() {
	h.all.Range(func(one, _ any) bool {
		one.(*hearing).tell(pipeline.RunNews{What: pipeline.NewsMissed})
		return true
	})
}
