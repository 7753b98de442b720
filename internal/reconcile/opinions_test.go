package reconcile

import (
	"fmt"
	"slices"

	"pgregory.net/rapid"

	"gleaner/internal/pipeline"
)

// ---- The fleet in the state machine, and what must hold of second opinions.

// makeFleet draws the GPUs, and why generations fail on them.
func (m *machine) makeFleet(rt *rapid.T) {
	m.addGPUs(rapid.SliceOfN(rapid.SampledFrom([]int{smallContext, largeContext}), 0, 3).Draw(rt, "contexts")...)
	for _, g := range m.gpus {
		g.broken = rapid.IntRange(0, 3).Draw(rt, "broken") == 0
	}
	for n := range m.run.Generations {
		m.natures[n] = rapid.SampledFrom([]nature{easy, easy, easy, large, endless, hanging}).Draw(rt, "nature")
	}
	if len(m.gpus) > 0 && rapid.Bool().Draw(rt, "small messages") {
		m.largest = rapid.IntRange(1, 4).Draw(rt, "largest")
		for n := range m.run.Generations {
			m.sizes[n] = rapid.IntRange(1, 5).Draw(rt, "size")
		}
	}
	m.canaries = rapid.Bool().Draw(rt, "canaries")
}

// anyGPU returns the GPU that takes a message: also one that should pass it on, and a consumer of
// an earlier version, unless the message is one that it cannot read.
func (m *machine) anyGPU(rt *rapid.T, index int) *gpu {
	old := len(m.work[index].body.Judged)+len(m.work[index].body.Final) == 0
	least := 0
	if old {
		least = -1
	}
	if len(m.gpus) == 0 {
		if !old {
			rt.Skip("no GPU can read it")
		}
		return nil
	}
	if i := rapid.IntRange(least, len(m.gpus)-1).Draw(rt, "gpu"); i >= 0 {
		return m.gpus[i]
	}
	return nil
}

// judge returns the GPU that takes a message when all do what they should: one that may judge it,
// or any, since a message that was passed on often enough is run by whichever GPU has it.
func (m *machine) judge(index int) *gpu {
	for _, g := range m.gpus {
		if g.mayJudge(m.work[index].body) {
			return g
		}
	}
	for _, g := range m.gpus {
		if g.serving {
			return g
		}
	}
	if len(m.gpus) > 0 {
		return m.gpus[0]
	}
	return nil
}

// gpuStep lets a GPU report itself, break, or stop serving.
func (m *machine) gpuStep(rt *rapid.T) {
	_, g := pick(rt, m.gpus, "gpu")
	switch rapid.SampledFrom([]string{"report", "report", "breaks", "serves", "canary"}).Draw(rt, "what") {
	case "report":
		g.report()
	case "breaks":
		g.broken = !g.broken
	case "serves":
		g.serving = !g.serving
	case "canary":
		if !g.broken {
			g.proven = g.outcomes
		}
	}
}

func (m *machine) refuseStep(rt *rapid.T) {
	i, _ := pick(rt, m.results, "result")
	m.refuse(i)
}

// checkOpinion is called before a batch gets another round. A second opinion is given at most twice
// without an operator's redrive, and only for a letter of the current round whose verdicts can be
// doubted.
func (m *machine) checkOpinion(b pipeline.Batch, opinions int) {
	switch {
	case opinions == b.Opinions || opinions == 0: // a repair, or a redrive
	case opinions != b.Opinions+1 || opinions > 2:
		m.unasked = fmt.Sprintf("batch %d goes from %d opinions to %d: %s", b.Index, b.Opinions, opinions, m)
	case b.State != pipeline.Dead || !m.explained(b):
		m.unasked = fmt.Sprintf("a second opinion on batch %d, which is not under a dead letter: %s", b.Index, m)
	case m.work[b.Index].body.Round == b.Round: // its worker died after its letter, and another one's may have replaced that just now
	case !slices.ContainsFunc(m.dead[b.Index].Failures, pipeline.GenerationFailure.Doubtful):
		m.unasked = fmt.Sprintf("a second opinion on batch %d, whose verdicts are certain: %s", b.Index, m)
	}
}

// checkFinal fails if a batch stays dead although a GPU that serves could do better, in other words
// than the engine's.
func (m *machine) checkFinal(rt *rapid.T, b pipeline.Batch) {
	d := m.dead[b.Index]
	for _, f := range d.Failures {
		switch {
		case slices.Contains(b.Done, f.Index):
		case f.Crowded:
			rt.Fatalf("generation %d of batch %d waits for room for ever: %s", f.Index, b.Index, m)
		case f.Class == pipeline.TooLarge && m.sizes[b.First+f.Index] <= m.largest && !m.shrunk:
			rt.Fatalf("generation %d of batch %d has room in a message: %s", f.Index, b.Index, m)
		}
	}
	if b.Opinions >= 2 || len(d.Judged) == 0 {
		return
	}
	for _, f := range d.Failures {
		if slices.Contains(b.Done, f.Index) || !f.Doubtful() {
			continue
		}
		for _, g := range m.gpus {
			switch {
			case !g.serving || slices.Contains(d.Judged, g.id) || g.id == judgeOf(d.DeadLetter, f): // that one, if its rows went out in several rounds
			case !f.Exceeds && f.Class.Rule().Doubt == pipeline.DoubtUnproven && f.Outcome == 0: // of an earlier version, in a later letter
			case f.Exceeds && (g.context <= f.Context || g.context < f.Needs):
			case !f.Exceeds && f.Class != pipeline.Unanswered && m.provenBy(f):
			default:
				rt.Fatalf("%s could judge generation %d of batch %d: %s", g.id.Consumer, f.Index, b.Index, m)
			}
		}
	}
}

// provenBy reports whether the judge of a failure has shown since that it works.
func (m *machine) provenBy(f pipeline.GenerationFailure) bool {
	return slices.ContainsFunc(m.gpus, func(g *gpu) bool {
		return g.id == f.Judge && g.proven >= f.Outcome && !slices.ContainsFunc(g.doubted, func(r pipeline.OutcomeRange) bool { return r.First <= f.Outcome && f.Outcome <= r.Last })
	})
}
