// Package autotunetest has GPUs of known speeds, for tests of whether the best number of slots is
// found.
package autotunetest

import (
	"context"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"gleaner/internal/ollamasim"
	"gleaner/internal/pipeline"
)

// MaxSlots is how many slots a CurvedModel has.
const MaxSlots = 16

// A Curve tells how many tokens per second a GPU generates in all with this many slots busy.
type Curve func(slots int) float64

// Best returns the number of slots that yields the most, and how much that is.
func (c Curve) Best() (slots int, rate float64) {
	for n := 1; n <= MaxSlots; n++ {
		if c(n) > rate {
			slots, rate = n, c(n)
		}
	}
	return slots, rate
}

// Points returns a curve with straight lines between points: slots and tokens per second, in turn.
func Points(p ...float64) Curve {
	return func(slots int) float64 {
		n := float64(slots)
		for i := 0; i+2 < len(p); i += 2 {
			if n <= p[i+2] {
				return p[i+1] + (p[i+3]-p[i+1])*(n-p[i])/(p[i+2]-p[i])
			}
		}
		return p[len(p)-1]
	}
}

// A CurvedModel is a model on a GPU of a known speed, whose answers have mixed lengths. It reports
// its tokens eight at a time.
type CurvedModel struct {
	Began time.Time

	gpu     *ollamasim.GPU
	mean    float64 // tokens of an answer
	prompts func(since time.Duration) int
	answers atomic.Int64
}

// NewCurvedModel returns a model whose answers have this many tokens on average. The curve that is
// in force and the tokens of a prompt depend on the time since now.
func NewCurvedModel(mean float64, curve func(since time.Duration) Curve, prompts func(since time.Duration) int) *CurvedModel {
	m := &CurvedModel{Began: time.Now(), mean: mean, prompts: prompts}
	m.gpu = ollamasim.NewGPU(MaxSlots, func(busy int) float64 {
		busy = max(busy, 1)
		return curve(time.Since(m.Began))(busy) / float64(busy)
	})
	return m
}

// Generate answers in as long as the tokens of prompt and answer take.
func (m *CurvedModel) Generate(ctx context.Context, r pipeline.Request) (pipeline.Completion, error) {
	const atOnce = 8
	random := rand.New(rand.NewPCG(uint64(r.Seed), uint64(m.answers.Add(1))))
	tokens := max(1, int(m.mean*math.Exp(0.5*random.NormFloat64()-0.125)))
	s, err := m.gpu.Acquire(ctx)
	if err != nil {
		return pipeline.Completion{}, err
	}
	defer s.Release()
	prompt := m.prompts(time.Since(m.Began))
	for made := 0; made < tokens; {
		next := min(made+atOnce, tokens)
		if err := s.Wait(ctx, prompt+next); err != nil {
			return pipeline.Completion{}, err
		}
		r.CountTokens(next - made)
		made = next
	}
	return pipeline.Completion{Text: "42", Finish: "stop", OutputTokens: tokens}, nil
}
