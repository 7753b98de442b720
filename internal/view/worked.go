package view

import (
	"fmt"
	"time"

	"gleaner/internal/advice"
	"gleaner/internal/status"
)

// Completed says in a line how a run ended, and which command writes its answers.
func Completed(s status.Snapshot) string {
	said := fmt.Sprintf("run %s: %s; %s of %s generations done, %s", s.Run, s.State.Describe(), Count(s.Stored), Count(s.Generations), Tokens(s))
	if worked := Worked(s); worked != "" {
		said += "; " + worked
	}
	return said + ". Export: `" + advice.Command("export", "--run", s.Run, "--out", s.Run+".jsonl") + "`"
}

// Tokens says how many tokens the answers of a run took, and how many the prompts.
func Tokens(s status.Snapshot) string {
	return fmt.Sprintf("%s out%s, %s in", Plural(s.OutputTokens, "token", "tokens"), ofThem(s.ThinkingTokens), Count(s.PromptTokens))
}

// ofThem says behind a number of tokens how many of them were thinking, if any were.
func ofThem(thinking int) string {
	if thinking == 0 {
		return ""
	}
	return fmt.Sprintf(" (about %s of them thinking)", Count(thinking))
}

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
