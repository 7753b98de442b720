package consumer

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gleaner/internal/pipeline"
)

func TestAModelIsUnfitForWhatItCannotDo(t *testing.T) {
	for name, c := range map[string]struct {
		run  pipeline.RunInfo
		has  pipeline.ModelInfo
		want string // empty: it is fit
	}{
		"nothing is asked":             {pipeline.RunInfo{}, pipeline.ModelInfo{Context: 512, Trained: 512, SaysThinks: true}, ""},
		"nothing is known":             {pipeline.RunInfo{NumCtx: 8192, Think: pipeline.ThinkOn}, pipeline.ModelInfo{}, ""},
		"enough":                       {pipeline.RunInfo{NumCtx: 8192, Think: pipeline.ThinkLow}, pipeline.ModelInfo{Context: 8192, Trained: 8192, SaysThinks: true, Thinks: true}, ""},
		"thinking is left to it":       {pipeline.RunInfo{Think: pipeline.ThinkAuto}, pipeline.ModelInfo{SaysThinks: true}, ""},
		"it cannot think":              {pipeline.RunInfo{Run: "r", Think: pipeline.ThinkLow}, pipeline.ModelInfo{Name: "tiny", SaysThinks: true}, "model tiny cannot think, and run r asks for it (--think low)"},
		"its context is too small":     {pipeline.RunInfo{Run: "r", NumCtx: 8192}, pipeline.ModelInfo{Name: "tiny", Context: 4096, Trained: 32768}, "model tiny has a context of 4,096 tokens here, and run r needs 8,192 (--num-ctx): start its server with `OLLAMA_CONTEXT_LENGTH=8192 ollama serve`"},
		"it was never made for that":   {pipeline.RunInfo{Run: "r", NumCtx: 8192}, pipeline.ModelInfo{Name: "tiny", Context: 2048, Trained: 4096}, "model tiny has a context of 4,096 tokens at most, and run r needs 8,192 (--num-ctx): load the run with less"},
		"its largest is not known":     {pipeline.RunInfo{Run: "r", NumCtx: 8192}, pipeline.ModelInfo{Name: "tiny", Context: 4096}, "has a context of 4,096 tokens here"},
		"its present one is not known": {pipeline.RunInfo{Run: "r", NumCtx: 8192}, pipeline.ModelInfo{Name: "tiny", Trained: 8192}, ""},
	} {
		if got := Unfit(c.run, c.has); (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// A loadServer has its context once its model is loaded.
type loadServer struct {
	*modelServer
	context atomic.Int64 // with which it was started
	loads   atomic.Int64
}

func (s *loadServer) WarmUp(context.Context, string) error {
	s.loads.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.info.Context = int(s.context.Load())
	return nil
}

func TestAGPUWithATooSmallContextWaitsUntilItsServerHasMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, q := newWorld(t), &queueInfo{info: pipeline.RunInfo{NumCtx: 8192}}
		small, large := &loadServer{modelServer: newModelServer(digestA, 4096)}, newModelServer(digestA, 8192)
		small.context.Store(4096)
		w.addRows(10)
		lane := small.lane("small", 1)
		lane.Backend = small
		r := w.start(watched(q), lane, large.lane("large", 1))
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		const want = "held: model tiny:latest has a context of 4,096 tokens here, and run r needs 8,192 (--num-ctx)"
		if said := r.stateOf(0); !strings.HasPrefix(said, want) || len(small.asked()) != 0 || len(w.only("ack")) != 10 {
			t.Errorf("it says %q after %d requests, and %d batches are done", said, len(small.asked()), len(w.only("ack")))
		}
		loads := small.loads.Load()
		small.context.Store(8192) // started again
		time.Sleep(2 * time.Minute)
		if said := r.stateOf(0); said != "serving" || loads == 0 {
			t.Errorf("it says %q after %d loads", said, loads)
		}
		loads = small.loads.Load()
		time.Sleep(10 * time.Minute)
		if small.loads.Load() != loads {
			t.Error("a model that fits is loaded again and again")
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestAGPUWhoseModelCannotThinkTakesNoWorkOfARunThatAsksForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s, q := newWorld(t), newModelServer(digestA, 4096), &queueInfo{info: pipeline.RunInfo{Think: pipeline.ThinkOn}}
		s.info.SaysThinks = true
		w.addRows(3)
		r := w.start(watched(q), s.lane("T4", 1))
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if said := r.stateOf(0); !strings.HasPrefix(said, "held: model tiny:latest cannot think, and run r asks for it (--think on)") || len(s.asked()) != 0 || len(w.only("take")) != 0 {
			t.Errorf("it says %q after %d requests", said, len(s.asked()))
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}
