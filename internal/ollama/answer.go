package ollama

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"gleaner/internal/pipeline"
	"gleaner/internal/thinking"
)

// The reasons that Ollama gives for the end of an answer, as it writes them.
const (
	reasonStop   = "stop"   // by itself, or at a stop sequence: it is complete
	reasonLength = "length" // after num_predict, or where the context is full
	reasonLoad   = "load"   // there was nothing to answer: the model was loaded
	reasonUnload = "unload" // the same, and it was unloaded
)

// Bounds of an answer besides those of its text and its time.
const (
	// spareTokens is how many more than num_predict may come, before a server counts as one that
	// does not heed it.
	spareTokens = 64
	// maxIdleChunks is how many chunks in a row may hold nothing.
	maxIdleChunks = 30
	// repeatLimit is how many equal chunks in a row end an answer. Ollama aborts after as many, and
	// says so with an end of the stream that is no end of the answer; but not where a model's own
	// template is used, and later versions only after more.
	repeatLimit = 31
	// maxTemplateTokens is what a template may add to the messages of a prompt.
	maxTemplateTokens = 64 << 10
)

// An answer is what has come of one request so far.
type answer struct {
	text    strings.Builder
	prefill string              // with which the answer begins; it is not in text
	tools   bool                // the request has tools
	calls   []pipeline.ToolCall // of tools, as far as they are whole
	misread error               // what is wrong with one that is not
	thought strings.Builder     // the thinking that the server told from the text
	said    int                 // bytes of the text and of calls
	called  bool                // the model called a tool
	tokens  int                 // chunks that held something, about one for each token
	thinks  float64             // chunks of these that held thinking; of one that held both, the part
	idle    int                 // chunks in a row that held nothing
	last    string              // the last chunk, without white space
	repeats int                 // how often it came in a row
	firstAt time.Time
	lastAt  time.Time
	done    bool
	final   chunk // the one that said done

	cut    *pipeline.Failure // why it was cut off here, without where
	limits limits
}

// limits are what an answer may take.
type limits struct {
	tokens int
	time   time.Duration // from the first token on
}

// errCut ends the reading of an answer that was cut off.
var errCut = fmt.Errorf("the answer was cut off here: %w", errEnough)

// add takes in one chunk. It reports whether that held something, and returns errCut if the answer
// is cut off because of it.
func (a *answer) add(next chunk) (some bool, err error) {
	m := next.Message
	if next.Done {
		a.done, a.final = true, next
	}
	if some = m.Content != "" || m.Thinking != "" || len(m.ToolCalls) > 0; !some {
		if a.idle++; a.idle >= maxIdleChunks && !a.done {
			return false, a.endless("%d pieces in a row held nothing", a.idle)
		}
		return false, nil
	}
	token := strings.TrimSpace(m.Thinking + m.Content)
	a.said += len(m.Content)
	for _, call := range m.ToolCalls {
		a.said += len(call.ID) + len(call.Function.Name) + len(call.Function.Arguments)
		token += call.Function.Name + string(call.Function.Arguments)
	}
	if len(a.prefill)+a.said > pipeline.MaxTextBytes {
		a.done = false
		return true, a.endless("it has more than %d bytes", pipeline.MaxTextBytes)
	}
	if a.thought.Len()+len(m.Thinking) > pipeline.MaxReasoningBytes {
		a.done = false
		return true, a.endless("its thinking has more than %d bytes", pipeline.MaxReasoningBytes)
	}
	a.call(m.ToolCalls)
	a.text.WriteString(m.Content)
	a.thought.WriteString(m.Thinking)
	a.called = a.called || len(m.ToolCalls) > 0
	if m.Thinking != "" {
		a.thinks += float64(len(m.Thinking)) / float64(len(m.Thinking)+len(m.Content))
	}
	a.idle, a.lastAt = 0, time.Now()
	if a.tokens++; a.tokens == 1 {
		a.firstAt = a.lastAt
	}
	if a.done {
		return true, nil
	}
	if a.repeats > 0 && token == a.last {
		a.repeats++
	} else {
		a.last, a.repeats = token, 1
	}
	switch {
	case a.repeats >= repeatLimit:
		a.cut = pipeline.Fail(pipeline.Degenerate, "%w: %.32q came %d times in a row", pipeline.ErrRepeats, a.last, a.repeats)
		return true, errCut
	case a.tokens > a.limits.tokens+spareTokens:
		return true, a.endless("%d tokens have come with num_predict %d, which this server does not heed", a.tokens, a.limits.tokens)
	case a.lastAt.Sub(a.firstAt) > a.limits.time:
		return true, a.endless("it has taken more than %v (--answer-limit) since its first token", a.limits.time)
	}
	return true, nil
}

// call takes in calls of tools.
func (a *answer) call(calls []saidCall) {
	for _, said := range calls {
		call, err := said.read()
		if err != nil {
			a.misread = err
			continue
		}
		a.calls = append(a.calls, call)
	}
}

// whole returns the text of the answer with what it has to begin with, if there is any yet.
func (a *answer) whole() string {
	if a.text.Len() == 0 {
		return ""
	}
	return a.prefill + a.text.String()
}

// endless cuts an answer off that does not come to an end.
func (a *answer) endless(format string, args ...any) error {
	a.cut = pipeline.Fail(pipeline.Truncated, "%w: "+format, append([]any{pipeline.ErrEndless}, args...)...)
	return errCut
}

// completion returns what there is of the answer. Thinking is taken off, unless it was asked for;
// an answer that has only thinking so far is shown as it is.
func (a *answer) completion(req pipeline.Request, start time.Time) (pipeline.Completion, thinking.Parts) {
	parts := thinking.Parts{Answer: a.whole()}
	if !req.Options.Raw {
		parts = thinking.Split(parts.Answer)
	}
	c := pipeline.Completion{
		Text:         strings.ToValidUTF8(parts.Answer, "\uFFFD"),
		PromptTokens: int(a.final.PromptEvalCount),
		OutputTokens: int(a.final.EvalCount),
		Thinking:     a.thought.Len() + len(parts.Thought),
		Duration:     a.lastAt.Sub(start),
	}
	if !req.Options.Think.IsOff() {
		c.Reasoning = strings.ToValidUTF8(strings.Join(slices.DeleteFunc([]string{strings.TrimSpace(a.thought.String()), parts.Thought}, isEmpty), "\n\n"), "\uFFFD")
	}
	if calls, err := pipeline.EncodeCalls(a.calls); a.tools && calls != "" && err == nil {
		if c.Text = pipeline.CallText(c.Text, calls); len(c.Text) > pipeline.MaxTextBytes { // by the escapes of JSON
			c.Text = ""
			_ = a.endless("it has more than %d bytes", pipeline.MaxTextBytes)
		}
	}
	c.Finish = a.finish()
	// What a server counts is believed where it can be true: these numbers are added up for years.
	if c.PromptTokens > req.PromptBytes()+maxTemplateTokens {
		c.PromptTokens = 0
	}
	if c.OutputTokens < 1 || c.OutputTokens > req.Options.NumPredict+spareTokens {
		c.OutputTokens = a.tokens
	}
	c.ThinkingTokens = int(math.Round(float64(c.OutputTokens) * a.thinkingShare(parts)))
	return c, parts
}

// thinkingShare returns about which part of the answer's tokens was thinking, from 0 to 1. A server
// counts all tokens as one number. It sends about one chunk for each token, so the chunks that held
// thinking are counted; inside of a text, and where a call of a tool came in one long chunk, the
// only measure is bytes.
func (a *answer) thinkingShare(parts thinking.Parts) float64 {
	inText := 0.0 // the part of the text that is thinking, with its tags
	switch whole := len(a.whole()); {
	case parts.Open:
		inText = 1
	case parts.Thought != "":
		inText = float64(whole-len(parts.Answer)) / float64(whole)
	}
	thought, all := a.thinks, float64(a.tokens)
	if a.called {
		thought, all = float64(a.thought.Len()), float64(a.thought.Len()+a.said)
		thought += inText * float64(a.text.Len())
	} else {
		thought += inText * (all - thought)
	}
	if all == 0 {
		return 0
	}
	return min(thought/all, 1)
}

func isEmpty(s string) bool { return s == "" }

// finish returns how the answer ended, or nothing if its stream ended before it did. A reason that
// is none of an answer's stays as it is: the verdict refuses the answer and names the reason.
func (a *answer) finish() pipeline.Finish {
	switch {
	case !a.done && a.cut != nil:
		return pipeline.FinishLength
	case !a.done:
		return ""
	case a.final.DoneReason == reasonStop:
		return pipeline.FinishStop
	case a.final.DoneReason == reasonLength:
		return pipeline.FinishLength
	}
	return pipeline.Finish(a.final.DoneReason)
}

// verdict returns nil if the answer is complete and says something. What else the end of a stream
// means, and the class of that, is decided here alone: a stream that was cut off here, that ended
// too early, that names another reason or none, and an answer in which there is nothing.
func (c *Client) verdict(req pipeline.Request, a *answer, got pipeline.Completion, parts thinking.Parts) *pipeline.Failure {
	what := "generate with model " + req.Model + " on " + c.URL()
	subject := a.subject(parts)
	reason := a.final.DoneReason
	givesReasons := c.reason.Load()
	if reason != "" {
		c.reason.Store(true)
	}
	switch {
	case a.cut != nil:
		return pipeline.Fail(a.cut.Class, "%s: %s was cut off after %d tokens: %w", what, subject, a.tokens, a.cut.Err)
	case !a.done && a.repeats >= repeatLimit-1: // of white space Ollama keeps the first to itself
		return pipeline.Fail(pipeline.Degenerate, "%s: %w: the server ended it after %.32q came %d times in a row", what, pipeline.ErrRepeats, a.last, a.repeats)
	case !a.done:
		return pipeline.Fail(pipeline.Retryable, "%s: %w after %d tokens: newer servers hide an error of their runner behind that, see the server's log: %w",
			what, pipeline.ErrDropped, a.tokens, io.ErrUnexpectedEOF)
	case reason == "" && givesReasons:
		return pipeline.Fail(pipeline.Retryable, "%s: the answer's end has no reason, which this server gives otherwise", what)
	case reason == "":
		return pipeline.Fail(pipeline.Fatal, "%s: this server is too old, or not Ollama: the answer's end has no reason, so a cut answer cannot be told from a complete one: "+
			"use Ollama 0.1.39 or later", what)
	case reason == reasonLength:
		return pipeline.Fail(pipeline.Truncated, "%s: %s was cut off after %d tokens, with %s and a prompt of %d tokens: "+
			"ask for more tokens, or give the server a larger context", what, subject, got.OutputTokens, room(req), got.PromptTokens)
	case reason == reasonLoad || reason == reasonUnload:
		return pipeline.Fail(pipeline.Retryable, "%s: the server answered with the %s of its model and generated nothing", what, reason)
	case reason != reasonStop:
		return pipeline.Fail(pipeline.Retryable, "%s: the answer ended with reason %.32q", what, reason)
	case parts.Open:
		return pipeline.Fail(pipeline.Truncated, "%s: %s ended by itself after %d tokens, before its thinking did", what, subject, got.OutputTokens)
	case a.tools && a.misread != nil:
		return pipeline.Fail(pipeline.Degenerate, "%s: the model called a tool in a way that cannot be kept: %w", what, a.misread)
	case a.prefill != "" && strings.TrimSpace(a.text.String()) == "" && len(a.calls) == 0:
		return pipeline.Fail(pipeline.Degenerate, "%s: %w: the model added nothing to the beginning that it was given (--prefill)", what, pipeline.ErrEmpty)
	case strings.TrimSpace(got.Text) != "":
		return nil
	case got.Thinking == 0 && parts.Found:
		return pipeline.Fail(pipeline.Degenerate, "%s: %w: there are tags for thinking, and nothing in or behind them", what, pipeline.ErrEmpty)
	case got.Thinking > 0:
		return pipeline.Fail(pipeline.Degenerate, "%s: %w: the model thought (%d bytes of thinking) and then said nothing", what, pipeline.ErrEmpty, got.Thinking)
	case a.called:
		return pipeline.Fail(pipeline.Degenerate, "%s: %w: the model called a tool and said nothing", what, pipeline.ErrEmpty)
	}
	return pipeline.Fail(pipeline.Degenerate, "%s: %w", what, pipeline.ErrEmpty)
}

// room says how many tokens an answer could have, with the number that the user gave first.
func room(req pipeline.Request) string {
	if req.FirstNumPredict > 0 {
		return fmt.Sprintf("--num-predict %d, and once more with %d,", req.FirstNumPredict, req.Options.NumPredict)
	}
	return fmt.Sprintf("--num-predict %d", req.Options.NumPredict)
}

// subject begins a sentence about an answer that was cut off, with what thinking had to do with it.
func (a *answer) subject(parts thinking.Parts) string {
	thought := a.thought.Len() + len(parts.Thought)
	switch said := len(strings.TrimSpace(parts.Answer)); {
	case parts.Open, thought > 0 && said == 0:
		return "it was still thinking: the answer"
	case thought > said:
		return fmt.Sprintf("the answer, %d %% of it thinking,", 100*thought/(thought+said))
	}
	return "the answer"
}
