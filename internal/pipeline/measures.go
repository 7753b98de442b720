package pipeline

import (
	"slices"
	"time"
)

// Measures are what all stored answers of a run come to.
type Measures struct {
	Answers int `json:"answers"`
	Thought int `json:"thought,omitempty"` // answers with thinking, whose tokens are part of the answer's
	// The tokens of an answer, its thinking included.
	Shortest int `json:"shortest"`
	Median   int `json:"median"`
	Longest  int `json:"longest"`
	// Work is the time in which at least one of them was being generated.
	Work time.Duration `json:"-"`
}

// A LengthCount is how many answers have a number of tokens.
type LengthCount struct {
	Tokens, Answers, Thought int
}

// A Span is a time in which answers were generated.
type Span struct {
	Begin, End time.Time
}

// Measure adds up the lengths of answers, in any order, and the spans of their work, which may
// overlap.
func Measure(lengths []LengthCount, spans []Span) Measures {
	var m Measures
	lengths = slices.Clone(lengths)
	slices.SortFunc(lengths, func(a, b LengthCount) int { return a.Tokens - b.Tokens })
	for _, l := range lengths {
		m.Answers += l.Answers
		m.Thought += l.Thought
	}
	seen := 0
	for _, l := range lengths {
		if seen <= (m.Answers-1)/2 {
			m.Median = l.Tokens
		}
		seen += l.Answers
	}
	if len(lengths) > 0 {
		m.Shortest, m.Longest = lengths[0].Tokens, lengths[len(lengths)-1].Tokens
	}
	spans = slices.Clone(spans)
	slices.SortFunc(spans, func(a, b Span) int { return a.Begin.Compare(b.Begin) })
	var end time.Time
	for _, s := range spans {
		if s.Begin.Before(end) {
			s.Begin = end
		}
		if s.End.After(s.Begin) {
			m.Work += s.End.Sub(s.Begin)
			end = s.End
		}
	}
	return m
}
