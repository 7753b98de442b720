package view

import (
	"fmt"
	"time"

	"gleaner/internal/status"
)

// Worked says how long was worked for the answers of a run, how fast they were made in that time,
// and how long they are; nothing where that is not known.
func Worked(s status.Snapshot) string {
	if s.Answers == nil {
		return ""
	}
	said := fmt.Sprintf("%s of work, %s tok/s", Duration(time.Duration(s.WorkSeconds*float64(time.Second))), Rate(s.MeanTokensPerSecond))
	said += fmt.Sprintf("; answers of %s to %s tokens, median %s", Count(s.Answers.Shortest), Count(s.Answers.Longest), Count(s.Answers.Median))
	if s.Answers.Thought > 0 {
		said += fmt.Sprintf(", %s with thinking", Count(s.Answers.Thought))
	}
	return said
}
