package pipeline

import "time"

// A Request asks a model for one answer.
type Request struct {
	Model    string
	Messages []Message // the conversation so far; the answer is the next turn
	Seed     int
	Options  Options

	// OnTokens, if it is not nil, is called with the number of tokens of the answer each time that
	// some have come, from the goroutine that reads them, and has to be quick. It tells the caller
	// how fast the model is before the answer is complete. A model need not call it.
	OnTokens func(n int)
}

// Prompt returns the content of the last message: what the answer answers.
func (r Request) Prompt() string { return lastContent(r.Messages) }

// CountTokens tells whoever waits for the answer that n of its tokens have come.
func (r Request) CountTokens(n int) {
	if r.OnTokens != nil {
		r.OnTokens(n)
	}
}

// A Finish says why an answer ended.
type Finish string

// The ways in which answers end. Adapters translate the words of their servers into these.
const (
	FinishStop   Finish = "stop"   // by itself: the answer is complete
	FinishLength Finish = "length" // it was cut off
)

// A Completion is a complete answer of a model: one that ended by itself. With a Truncated failure
// it has no text, but the counts of tokens.
type Completion struct {
	Text         string
	Finish       Finish
	PromptTokens int
	OutputTokens int
	Duration     time.Duration // from the request to the last token, on the caller's clock
}
