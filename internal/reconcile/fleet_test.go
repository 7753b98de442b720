package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gleaner/internal/pipeline"
)

// ---- The GPUs and their verdicts.

// A nature is why a generation fails on some GPUs, or on all.
type nature int

const (
	easy    nature = iota
	large          // it does not fit into a small context
	endless        // its answer is cut off everywhere
	hanging        // no server answers it
)

const (
	smallContext = 512
	largeContext = 4096
	largeNeeds   = 600 // tokens that a large generation needs at least
)

// A gpu is a lane of a consumer, as it is and as it reported itself last.
type gpu struct {
	id       pipeline.LaneID
	context  int
	broken   bool // its answers are empty
	serving  bool
	outcomes int
	proven   int
	doubted  []pipeline.OutcomeRange
	reports  int
	reported pipeline.Presence
}

// addGPUs gives the world lanes with these contexts, all of which serve and have reported that.
func (w *world) addGPUs(contexts ...int) {
	for i, tokens := range contexts {
		g := &gpu{id: pipeline.LaneID{Consumer: fmt.Sprint("c", i), GPU: "gpu 0"}, context: tokens, serving: true}
		w.gpus = append(w.gpus, g)
		g.report()
	}
}

// report sends what the GPU is to the bucket of the consumers.
func (g *gpu) report() {
	g.reports++
	state := pipeline.GPUServing
	if !g.serving {
		state = pipeline.GPUHeld
	}
	g.reported = pipeline.Presence{
		ID: g.id.Consumer, Run: testRun, Tokens: true, Seen: time.Unix(int64(g.reports), 0),
		GPUs: []pipeline.GPUStatus{{Name: g.id.GPU, State: state, Engine: pipeline.Ollama, Context: g.context, Proven: g.proven, Doubted: g.doubted}},
	}
}

// verdict returns why a generation fails on a GPU, and whether it does.
func (w *world) verdict(g *gpu, n int, failNow bool) (f pipeline.GenerationFailure, fails bool) {
	f = pipeline.GenerationFailure{Class: pipeline.BadItem, Message: "boom", Attempts: 1}
	if g != nil {
		f.Judge, f.Engine, f.Context = g.id, pipeline.Ollama, g.context
	}
	switch {
	case w.fails[n] || failNow:
		return f, true
	case g == nil && w.natures[n] == easy:
		return f, false
	case w.natures[n] == large && (g == nil || g.context < largeNeeds):
		if g != nil {
			f.Exceeds, f.Needs = true, (n%2)*largeNeeds // it is not always known
		}
		return f, true
	case w.natures[n] == endless:
		f.Class = pipeline.Truncated
		return f, true
	case w.natures[n] == hanging:
		f.Class = pipeline.Unanswered
		return f, true
	case g != nil && g.broken:
		f.Class = pipeline.Degenerate
		return f, true
	}
	return f, false
}

// takeOn delivers a message to a GPU.
func (w *world) takeOn(g *gpu, index int, failNow map[int]bool) *holding {
	h := &holding{message: w.work[index], gpu: g}
	if g != nil || !w.tooOld {
		h.token = h.body.Token
	}
	if g != nil {
		h.began = g.outcomes
	}
	for _, generation := range h.body.Generations {
		n := w.batches[index].First + generation.Index
		if f, fails := w.verdict(g, n, failNow[n]); fails {
			if g != nil {
				g.outcomes++
				f.Outcome = g.outcomes
			}
			f.Generation = generation
			h.failures = append(h.failures, f)
			continue
		}
		w.executed++
		h.answers = append(h.answers, pipeline.Result{Index: generation.Index, Item: generation.Item, Text: fmt.Sprint("text ", w.executed), Finish: "stop"})
	}
	return h
}

// letter returns the dead letter that a worker writes. An earlier version knows nothing of verdicts
// that stay.
func (h *holding) letter(now time.Time) pipeline.DeadLetter {
	d := pipeline.DeadLetter{
		Run: testRun, UID: h.body.UID, Batch: h.body.Batch, Round: h.body.Round, Token: h.token, Message: "boom",
		Options: h.body.Options, Failures: h.failures, FailedAt: now, Consumer: "earlier", GPU: "gpu 0",
	}
	if h.gpu != nil {
		d.Consumer, d.GPU = h.gpu.id.Consumer, h.gpu.id.GPU
		d.Judged = append(slices.Clone(h.body.Judged), h.gpu.id)
		d.Failures = append(slices.Clone(h.failures), h.body.Final...)
	}
	d.Class = d.Failures[0].Class
	return d
}

// mayJudge reports whether a worker runs the message itself: it passes on what its GPU has judged
// and what is too large for it.
func (g *gpu) mayJudge(work pipeline.Work) bool {
	return g.serving && !slices.Contains(work.Judged, g.id) && g.context >= work.Needs
}

// checkCover notes a message without a generation that the batch lacks: the dead letter of that
// round would lack it, too.
func (w *world) checkCover(work pipeline.Work) {
	for _, i := range w.batches[work.Batch].Missing() {
		generated := slices.ContainsFunc(work.Generations, func(g pipeline.Generation) bool { return g.Index == i })
		final := slices.ContainsFunc(work.Final, func(f pipeline.GenerationFailure) bool { return f.Index == i })
		if generated == final {
			w.uncovers = fmt.Sprintf("the message of round %d of batch %d: generation %d is to be generated: %v, has a final verdict: %v", work.Round, work.Batch, i, generated, final)
		}
	}
}

// noteUnsent notes a letter of a producer about a row that has room in a message, and one about a
// batch that is not queued, which would never make it dead. A letter about all that is missing
// goes out alone: the server takes less than when the rows got their verdicts.
func (w *world) noteUnsent(d pipeline.DeadLetter) {
	w.noteFailed(d)
	b := w.batches[d.Batch]
	for _, f := range d.Failures {
		if f.Crowded && len(d.Failures)+len(b.Done) < b.Count {
			w.uncovers = fmt.Sprintf("the producer's letter says that generation %d of batch %d waits for room", f.Index, d.Batch)
		}
	}
	if b.State == pipeline.Planned {
		w.uncovers = fmt.Sprintf("a letter of batch %d goes out, which is still planned", d.Batch)
	}
}

// refuse is what a sink does with an answer of another digest.
func (w *world) refuse(i int) {
	r := w.results[i].body
	w.results = slices.Delete(w.results, i, i+1)
	w.markRefused(r.Batch, r.Round)
}

// ---- What an engine sees of them.

func (v view) Consumers(context.Context) (present []pipeline.Presence, _ error) {
	err := v.pass(func() {
		for _, g := range v.gpus {
			present = append(present, g.reported)
		}
		if v.tooOld {
			present = append(present, pipeline.Presence{ID: "too old", Run: testRun})
		}
	})
	return present, err
}

func (v view) ReportRun(_ context.Context, _ pipeline.Run, lanes, awaitOpinion int) error {
	return v.pass(func() { v.lanes, v.awaiting = lanes, awaitOpinion })
}

func (v view) RunInfo(context.Context, string) (info pipeline.RunInfo, _ error) {
	err := v.pass(func() {
		info = pipeline.RunInfo{Run: testRun, UID: testUID, Waiting: len(v.onQueue()) - v.held, Held: v.held, HandedOut: v.handedOut, Settled: v.settled(), Paused: v.paused, PausedAs: v.pausedAs}
	})
	return info, err
}

func (v view) FindWork(_ context.Context, _ string, index int) (w pipeline.StoredWork, found bool, _ error) {
	err := v.pass(func() {
		m, there := v.work[index]
		w, found = pipeline.StoredWork{Work: m.body, Sequence: m.seq}, there
	})
	return w, found, err
}

func (v view) OnReconnect(func()) (stop func()) { return func() {} }

func (v view) RemoveWork(_ context.Context, _ string, index int, sequence uint64) error {
	return v.pass(func() {
		if v.work[index].seq == sequence {
			if s := v.batches[index].State; s != pipeline.Done && s != pipeline.Dropped && !v.stray[sequence] {
				v.unqueued = fmt.Sprintf("batch %d, which is %s, was taken off the queue", index, s)
			}
			delete(v.work, index)
		}
	})
}
