package ollama

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/ollama/ollama/api"

	"gleaner/internal/pipeline"
)

// Generate asks for one answer and waits until it is complete. The request's stop sequences
// replace those of the model. Thinking is taken off the answer, unless the options say raw. The
// answer begins with the request's prefill, which the model continues. One that calls tools of the
// request is an answer, too: its text is that of pipeline.CallText.
//
// Every error is a *pipeline.Failure. With it comes a Completion of what there was of the answer,
// and of the numbers of tokens as far as they are known: so the caller of a Truncated one can see
// whether twice the room would fit into the model's context. It would not help where the failure
// wraps pipeline.ErrEndless. A crash of the server's runner, which every request in flight may have
// caused, wraps pipeline.ErrRunnerCrashed.
//
// When ctx is cancelled the failure is Interrupted, when its deadline passes it is Retryable, and
// if it is cancelled with a cause that is a *pipeline.Failure, then the class is that one's.
func (c *Client) Generate(ctx context.Context, req pipeline.Request) (pipeline.Completion, error) {
	if f := refuse(req); f != nil {
		return pipeline.Completion{}, f
	}
	if f := c.withoutTools(ctx, req); f != nil {
		return pipeline.Completion{}, f
	}
	body, err := chatRequest(req)
	if err != nil {
		return pipeline.Completion{}, pipeline.Fail(pipeline.BadItem, "generate with model %s: %w", req.Model, err)
	}
	start := time.Now()
	watched, dog := watch(ctx, c.cfg.FirstToken)
	defer dog.stop()
	a := &answer{lastAt: start, prefill: pipeline.Prefill(req.Messages), tools: req.Tools != "",
		limits: limits{tokens: req.Options.NumPredict, time: c.cfg.AnswerLimit}}
	err = c.chat(watched, dog, exchange{req, body}, a)
	got, parts := a.completion(req, start)
	switch {
	case ctx.Err() != nil:
		return got, c.interrupted(ctx, "generate")
	case a.done || a.cut != nil: // what happens after the last chunk does not matter any more
	case err != nil && errors.Is(context.Cause(watched), errStalled):
		return got, c.stalled(a, start)
	case err != nil:
		return got, aboutTools(req, c.classify("generate", req.Model, err), err)
	}
	if f := c.verdict(req, a, got, parts); f != nil {
		return got, f
	}
	return got, nil
}

// refuse returns the failure of a request that no server answers as it is meant.
func refuse(req pipeline.Request) *pipeline.Failure {
	switch {
	case req.Options.NumPredict < 1:
		return pipeline.Fail(pipeline.Fatal, "generate with model %s: num_predict %d is not positive", req.Model, req.Options.NumPredict)
	case slices.Contains(req.Options.Stop, ""):
		return pipeline.Fail(pipeline.Fatal, "generate with model %s: a stop sequence is empty, which would end every answer at once: load the run without it", req.Model)
	}
	return nil
}

// An exchange is a request and what is sent for it.
type exchange struct {
	pipeline.Request
	body *chatBody
}

// chat sends the request and collects the answer.
func (c *Client) chat(ctx context.Context, dog *watchdog, req exchange, a *answer) error {
	resp, err := c.open(ctx, http.MethodPost, "/api/chat", req.body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	patience := c.patience(a)
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
		some, err := a.add(next)
		switch {
		case err != nil:
			return err
		case a.done:
			// The end of the stream comes at once. It is read so that the connection can be used
			// again.
			dog.feed(time.Second)
		case some: // Ollama sends a chunk for each token, rarely for more
			c.chunks.Add(1)
			dog.feed(patience)
			req.CountTokens(1)
		}
		return nil
	})
}

// A chatBody is a request to Ollama. Its tools are sent as they are: Ollama's type for them has not
// all that a definition may say, and later servers read more of it.
type chatBody struct {
	*api.ChatRequest
	Tools json.RawMessage `json:"tools,omitempty"`
}

// chatRequest returns the request to Ollama. It holds no option for which Ollama would have to load
// the model again. A last message of the assistant is the beginning of the answer: Ollama's
// templates leave it open, and the answer goes on where it ends. The error says that the calls of a
// message cannot be read.
func chatRequest(req pipeline.Request) (*chatBody, error) {
	messages, err := messagesOf(req.Messages)
	if err != nil {
		return nil, err
	}
	yes, no := true, false
	return &chatBody{Tools: json.RawMessage(req.Tools), ChatRequest: &api.ChatRequest{
		Model:    req.Model,
		Messages: messages,
		Stream:   &yes,
		Truncate: &no, // else a prompt that is too long is cut silently
		Shift:    &no, // else the beginning is forgotten where the context is full
		Think:    thinkValue(req.Options.Think),
		Format:   req.Options.Schema,
		Options:  requestOptions(req),
	}}, nil
}

// thinkValue returns what Ollama is told, which is nothing if it is left to the model.
func thinkValue(think pipeline.Think) *api.ThinkValue {
	switch {
	case think == pipeline.ThinkAuto:
		return nil
	case think.Level() != "":
		return &api.ThinkValue{Value: think.Level()}
	}
	return &api.ThinkValue{Value: !think.IsOff()}
}

func requestOptions(req pipeline.Request) map[string]any {
	o := req.Options.Wire()
	o["seed"] = req.Seed
	return o
}

// patience returns how long the next token may take. While a model writes the call of a tool,
// Ollama is silent until it is complete.
func (c *Client) patience(a *answer) time.Duration {
	if a.tools {
		return max(c.cfg.Stall, c.cfg.FirstToken)
	}
	return c.cfg.Stall
}

// stalled returns the failure of a request for which no token came in time.
func (c *Client) stalled(a *answer, start time.Time) *pipeline.Failure {
	if a.tokens == 0 {
		return pipeline.Fail(pipeline.Retryable, "generate on %s: %w: no first token within %v (--first-token); the runner may hang, or the model still loads or has others to answer",
			c.URL(), pipeline.ErrStalled, c.cfg.FirstToken)
	}
	if p := c.patience(a); p > c.cfg.Stall {
		return pipeline.Fail(pipeline.Retryable, "generate on %s: %w: no token for %v (--first-token, since the call of a tool may take as long) after %v of text; the runner may hang",
			c.URL(), pipeline.ErrStalled, p, a.lastAt.Sub(start).Round(time.Millisecond))
	}
	return pipeline.Fail(pipeline.Retryable, "generate on %s: %w: no token for %v (--stall) after %v of text; the runner may hang",
		c.URL(), pipeline.ErrStalled, c.cfg.Stall, a.lastAt.Sub(start).Round(time.Millisecond))
}
