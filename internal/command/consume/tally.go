package consume

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/pipeline"
)

// A tally is what a consumer has made since it began, of all runs that it worked for.
type tally struct {
	runs            []string
	answers, tokens int
	took            time.Duration
}

// add takes what the GPUs made of a run.
func (m *tally) add(run string, said pipeline.Presence, took time.Duration) {
	if !slices.Contains(m.runs, run) {
		m.runs = append(m.runs, run)
	}
	for _, g := range said.GPUs {
		m.answers += g.Generations
		m.tokens += g.OutputTokens
	}
	m.took += took
}

// say says it in words, if there was any work to do. It is the last line of a consumer.
func (m *tally) say(log *zap.Logger) {
	if len(m.runs) > 0 {
		log.Info(m.String())
	}
}

// String returns it in words, such as "made 1,204 answers with 96,310 tokens in 3 h 5 min for run
// sums".
func (m *tally) String() string {
	words := fmt.Sprintf("made %s with %s in %s for run %s",
		counted(m.answers, "answer"), counted(m.tokens, "token"), spoken(m.took), strings.Join(m.runs, ", "))
	if len(m.runs) > 1 {
		words = strings.Replace(words, " for run ", fmt.Sprintf(" for %d runs: ", len(m.runs)), 1)
	}
	return words
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return pipeline.Grouped(n) + " " + what + "s"
}

// spoken returns a time as people say it.
func spoken(d time.Duration) string {
	d = d.Round(time.Second)
	hours, minutes, seconds := int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60
	switch {
	case hours > 0:
		return fmt.Sprintf("%d h %d min", hours, minutes)
	case minutes > 0:
		return fmt.Sprintf("%d min %d s", minutes, seconds)
	}
	return fmt.Sprintf("%d s", seconds)
}
