package pipeline

import "time"

// A Request asks a model for one answer.
type Request struct {
	Model   string
	System  string
	Prompt  string
	Seed    int
	Options Options
}

// A Completion is a complete answer of a model: one that ended by itself. With a Truncated failure it has no text, but
// the counts of tokens.
type Completion struct {
	Text         string
	Finish       string // "stop"
	PromptTokens int
	OutputTokens int
	Duration     time.Duration // from the request to the last token, on the caller's clock
}
