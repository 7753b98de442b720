package ollama

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/ollama/ollama/api"

	"gleaner/internal/pipeline"
)

// Generate asks for one answer and waits until it is complete. The request's stop sequences
// replace those of the model. Thinking is taken off the answer, unless the options say raw.
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
	start := time.Now()
	watched, dog := watch(ctx, c.cfg.FirstToken)
	defer dog.stop()
	a := &answer{lastAt: start, limits: limits{tokens: req.Options.NumPredict, time: c.cfg.AnswerLimit}}
	err := c.chat(watched, dog, req, a)
	got, parts := a.completion(req, start)
	switch {
	case ctx.Err() != nil:
		return got, c.interrupted(ctx, "generate")
	case a.done || a.cut != nil: // what happens after the last chunk does not matter any more
	case err != nil && errors.Is(context.Cause(watched), errStalled):
		return got, c.stalled(a, start)
	case err != nil:
		return got, c.classify("generate", req.Model, err)
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
			dog.feed(c.cfg.Stall)
			req.CountTokens(1)
		}
		return nil
	})
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
		Think:    thinkValue(req.Options.Think),
		Options:  requestOptions(req),
	}
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

// stalled returns the failure of a request for which no token came in time.
func (c *Client) stalled(a *answer, start time.Time) *pipeline.Failure {
	if a.tokens == 0 {
		return pipeline.Fail(pipeline.Retryable, "generate on %s: %w: no first token within %v (--first-token); the runner may hang, or the model still loads or has others to answer",
			c.URL(), pipeline.ErrStalled, c.cfg.FirstToken)
	}
	return pipeline.Fail(pipeline.Retryable, "generate on %s: %w: no token for %v (--stall) after %v of text; the runner may hang",
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
