package pipeline

import "time"

// A Request asks a model for one answer.
type Request struct {
	Model    string
	Messages []Message // the conversation so far; the answer is the next turn
	Seed     int
	Options  Options

	// OnTokens, if it is not nil, is called each time that tokens of the answer have arrived, with
	// their number. The goroutine that reads the answer calls it, so it has to return quickly. It
	// tells the caller how fast the model is before the answer is complete. A model need not call
	// it.
	OnTokens func(n int)
}

// Prompt returns the content of the last message, to which the answer replies.
func (r Request) Prompt() string { return lastContent(r.Messages) }

// CountTokens calls OnTokens, if it is set, with the number of tokens that have arrived.
func (r Request) CountTokens(n int) {
	if r.OnTokens != nil {
		r.OnTokens(n)
	}
}

// A Finish is the reason why an answer ended.
type Finish string

// The reasons. Adapters translate the words of their servers into these.
const (
	FinishStop   Finish = "stop"   // by itself: the answer is complete
	FinishLength Finish = "length" // it was cut off
)

// A Completion is a complete answer of a model: one that ended by itself. If it is returned with a
// failure, it holds what there was of the answer and the counts that are known.
type Completion struct {
	Text         string
	Finish       Finish
	PromptTokens int
	OutputTokens int
	Thinking     int           // bytes of thinking that came with the text and are not in it
	Reasoning    string        // that thinking, unless it was asked to be off
	Duration     time.Duration // from the request to the last token, on the caller's clock
}
