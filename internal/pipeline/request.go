package pipeline

import (
	"slices"
	"time"
)

// A Request asks a model for one answer.
type Request struct {
	Model    string
	Messages []Message // the conversation so far; the answer is the next turn
	Tools    JSON      // that the model may call: a list of definitions as OpenAI's API has them
	Seed     int
	Options  Options

	// FirstNumPredict is the num_predict of the first try, where this is one with more room. It is
	// only for words: a person knows that number. 0: there is no such try before this one.
	FirstNumPredict int

	// OnTokens, if it is not nil, is called each time that tokens of the answer have arrived, with
	// their number. The goroutine that reads the answer calls it, so it has to return quickly. It
	// tells the caller how fast the model is before the answer is complete. A model need not call
	// it.
	OnTokens func(n int)
}

// A Rendered is a row as a request.
type Rendered struct {
	Messages  []Message
	Tools     JSON   // that the model may call; empty: none
	Reference string // the answer that the row's chat ended with; empty: none
}

// Prompt returns the content of the last message, to which the answer replies.
func (r Request) Prompt() string { return lastContent(r.Messages) }

// PromptBytes returns the length of everything that the model reads before it answers.
func (r Request) PromptBytes() int { return ContentBytes(r.Messages) + len(r.Tools) }

// UsesTools reports whether the request offers tools, or tells of calls.
func (r Request) UsesTools() bool {
	return r.Tools != "" || slices.ContainsFunc(r.Messages, Message.usesTools)
}

// Asking returns a request that asks something else, for an answer of at most this many tokens, and
// leaves the model and all other options as they are.
func (r Request) Asking(prompt string, tokens int) Request {
	r.Messages, r.Tools, r.Options.NumPredict = User(prompt), "", tokens
	return r
}

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
	Text         string // with the request's Prefill; of an answer that calls tools, see CallText
	Finish       Finish
	PromptTokens int
	OutputTokens int
	// ThinkingTokens is about how many of the output tokens were thinking: servers count all tokens
	// of an answer as one number, so this is an estimate from what they sent.
	ThinkingTokens int
	Thinking       int           // bytes of thinking that came with the text and are not in it
	Reasoning      string        // that thinking, unless it was asked to be off
	Duration       time.Duration // from the request to the last token, on the caller's clock
}
