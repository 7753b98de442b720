package ollama

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/ollama/ollama/api"

	"gleaner/internal/pipeline"
)

// An answer is what has come of one request so far.
type answer struct {
	text     strings.Builder
	thinking bool   // the model sent its thinking, although it was asked not to
	last     string // the last chunk, without white space
	repeats  int    // how often it came in a row
	done     bool
	final    chunk // the one that said done
	lastAt   time.Time
}

// Generate asks for one answer and waits until it is complete. The request's stop sequences
// replace those of the model.
//
// Every error is a *pipeline.Failure. A Truncated one comes with a Completion that has no text
// but the numbers of tokens, so that the caller can see whether twice the room would fit into the
// model's context. A crash of the server's runner, which every request in flight may have caused,
// wraps pipeline.ErrRunnerCrashed.
//
// When ctx is cancelled the failure is Interrupted, when its deadline passes it is Retryable, and
// if it is cancelled with a cause that is a *pipeline.Failure, then the class is that one's.
func (c *Client) Generate(ctx context.Context, req pipeline.Request) (pipeline.Completion, error) {
	if req.Options.NumPredict < 1 {
		return pipeline.Completion{}, pipeline.Fail(pipeline.Fatal, "generate with model %s: num_predict %d is not positive", req.Model, req.Options.NumPredict)
	}
	start := time.Now()
	watched, dog := watch(ctx, c.cfg.FirstToken)
	defer dog.stop()
	a := &answer{lastAt: start}
	err := c.chat(watched, dog, req, a)
	switch {
	case ctx.Err() != nil:
		return pipeline.Completion{}, c.interrupted(ctx, "generate")
	case a.done: // what happens after the last chunk does not matter any more
	case err != nil && errors.Is(context.Cause(watched), errStalled):
		return pipeline.Completion{}, c.stalled(a, start)
	case err != nil:
		return pipeline.Completion{}, c.classify("generate", req.Model, err)
	}
	completion := pipeline.Completion{
		Finish:       finishOf(a.final.DoneReason),
		PromptTokens: a.final.PromptEvalCount,
		OutputTokens: a.final.EvalCount,
		Duration:     a.lastAt.Sub(start),
	}
	if f := c.verdict(req, a); f != nil {
		return completion, f
	}
	completion.Text = strings.ToValidUTF8(a.text.String(), "\uFFFD")
	return completion, nil
}

// chat sends the request and collects the answer.
func (c *Client) chat(ctx context.Context, dog *watchdog, req pipeline.Request, a *answer) error {
	resp, err := c.open(ctx, http.MethodPost, "/api/chat", chatRequest(req))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return readLines(resp.Body, func(line []byte) error {
		if a.done {
			return errEnough // nothing may follow; the connection is not used again
		}
		var next chunk
		if err := decodeLine(line, &next); err != nil {
			return err
		}
		if next.Error != "" {
			return streamError(next.Error)
		}
		c.chunks.Add(1)
		dog.feed(c.cfg.Stall)
		if err := a.add(next); err != nil {
			return err
		}
		if a.done {
			// The end of the stream comes at once. It is read so that the connection can be used
			// again.
			dog.feed(time.Second)
		} else {
			req.CountTokens(1) // Ollama sends a chunk for each, rarely for more
		}
		return nil
	})
}

// add takes in one chunk.
func (a *answer) add(next chunk) error {
	if a.text.Len()+len(next.Message.Content) > pipeline.MaxTextBytes {
		return errTooLong
	}
	a.text.WriteString(next.Message.Content)
	a.lastAt = time.Now()
	a.thinking = a.thinking || next.Message.Thinking != ""
	token := strings.TrimSpace(next.Message.Thinking + next.Message.Content)
	switch {
	case next.Done:
		a.done, a.final = true, next
	case a.repeats > 0 && token == a.last:
		a.repeats++
	default:
		a.last, a.repeats = token, 1
	}
	return nil
}

// chatRequest returns the request to Ollama. It holds no option for which Ollama would have to load
// the model again.
func chatRequest(req pipeline.Request) *api.ChatRequest {
	var messages []api.Message
	for _, m := range req.Messages {
		messages = append(messages, api.Message{Role: string(m.Role), Content: m.Content})
	}
	yes, no := true, false
	return &api.ChatRequest{
		Model:    req.Model,
		Messages: messages,
		Stream:   &yes,
		Truncate: &no, // else a prompt that is too long is cut silently
		Shift:    &no, // else the beginning is forgotten where the context is full
		Think:    &api.ThinkValue{Value: false},
		Options:  requestOptions(req),
	}
}

func requestOptions(req pipeline.Request) map[string]any {
	o := map[string]any{"seed": req.Seed, "num_predict": req.Options.NumPredict}
	if req.Options.Temperature != nil {
		o["temperature"] = *req.Options.Temperature
	}
	if req.Options.TopP != nil {
		o["top_p"] = *req.Options.TopP
	}
	if req.Options.TopK != nil {
		o["top_k"] = *req.Options.TopK
	}
	if len(req.Options.Stop) > 0 {
		o["stop"] = req.Options.Stop
	}
	return o
}

// verdict returns nil if the answer is complete and says something.
func (c *Client) verdict(req pipeline.Request, a *answer) *pipeline.Failure {
	what := "generate with model " + req.Model + " on " + c.URL()
	switch {
	case !a.done && a.repeats >= repeatLimit:
		return pipeline.Fail(pipeline.Degenerate, "%s: the server ended the answer because it repeats %.32q", what, a.last)
	case !a.done:
		return pipeline.Fail(pipeline.Retryable, "%s: the stream ended before the answer: %w", what, io.ErrUnexpectedEOF)
	case a.final.DoneReason == "length":
		return pipeline.Fail(pipeline.Truncated, "%s: the answer was cut off after %d tokens, with num_predict %d and a prompt of %d tokens: "+
			"ask for more tokens, or give the server a larger context", what, a.final.EvalCount, req.Options.NumPredict, a.final.PromptEvalCount)
	case a.final.DoneReason != "stop":
		return pipeline.Fail(pipeline.Retryable, "%s: the answer ended with reason %.32q", what, a.final.DoneReason)
	case strings.TrimSpace(a.text.String()) == "" && a.thinking:
		return pipeline.Fail(pipeline.Degenerate, "%s: the model thought and then said nothing", what)
	case strings.TrimSpace(a.text.String()) == "":
		return pipeline.Fail(pipeline.Degenerate, "%s: the answer is empty", what)
	}
	return nil
}

// repeatLimit is how many equal chunks in a row mean that Ollama has aborted the answer: it does so
// after the thirty-first, without an error.
const repeatLimit = 30

// stalled returns the failure of a request for which no token came in time.
func (c *Client) stalled(a *answer, start time.Time) *pipeline.Failure {
	if a.repeats == 0 {
		return pipeline.Fail(pipeline.Retryable, "generate on %s: %w: none within %v; the runner may hang", c.URL(), pipeline.ErrStalled, c.cfg.FirstToken)
	}
	return pipeline.Fail(pipeline.Retryable, "generate on %s: %w: none for %v after %v of text; the runner may hang",
		c.URL(), pipeline.ErrStalled, c.cfg.Stall, a.lastAt.Sub(start).Round(time.Millisecond))
}

// interrupted returns the failure of a request that the caller ended.
func (c *Client) interrupted(ctx context.Context, what string) *pipeline.Failure {
	cause := context.Cause(ctx)
	class := pipeline.Interrupted
	var f *pipeline.Failure
	switch {
	case errors.As(cause, &f):
		class = f.Class
	case errors.Is(cause, context.DeadlineExceeded):
		class = pipeline.Retryable
	}
	return &pipeline.Failure{Class: class, Err: fmt.Errorf("%s on %s: %w", what, c.URL(), cause)}
}

// finishOf translates Ollama's reason why an answer ended.
func finishOf(reason string) pipeline.Finish {
	switch reason {
	case "stop":
		return pipeline.FinishStop
	case "length":
		return pipeline.FinishLength
	}
	return pipeline.Finish(reason) // the verdict refuses the answer and names the reason
}
