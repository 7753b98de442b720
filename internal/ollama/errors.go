package ollama

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/ollama/ollama/api"

	"gleaner/internal/pipeline"
)

// Errors that are wrapped by the failures of this package.
var (
	// ErrNoModel says that the server does not have the model.
	ErrNoModel = errors.New("no such model")

	errTooLong = fmt.Errorf("the answer has more than %d bytes", pipeline.MaxTextBytes)
)

// streamError is an error that came as a line of a stream, where there is no status any more.
type streamError string

func (e streamError) Error() string { return string(e) }

// classify gives an error of a request its class. Most of Ollama's errors differ only in their
// text, also under one status; the texts are those of version 0.17.4 and of later ones, as far as
// they are known.
func (c *Client) classify(what, model string, err error) *pipeline.Failure {
	where := fmt.Sprintf("%s with model %s on %s", what, model, c.URL())
	var (
		status   api.StatusError
		auth     api.AuthorizationError
		inStream streamError
	)
	switch {
	case errors.Is(err, errTooLong):
		return pipeline.Fail(pipeline.BadItem, "%s: %w", where, err)
	case errors.As(err, &auth):
		return pipeline.Fail(pipeline.Fatal, "%s: %w: the server wants a sign-in; use a model that runs on it", where, err)
	case errors.As(err, &inStream):
		return byText(where, string(inStream), err)
	case !errors.As(err, &status):
		return c.unreachable(where, err)
	}
	switch code, text := status.StatusCode, status.ErrorMessage; {
	case code == http.StatusNotFound && strings.Contains(text, "model"):
		return pipeline.Fail(pipeline.Fatal, "%s: %w: %w: run `ollama pull %s` there", where, ErrNoModel, err, model)
	case code == http.StatusNotFound, code == http.StatusMethodNotAllowed:
		return pipeline.Fail(pipeline.Fatal, "%s: %w: is that the address of an Ollama server?", where, err)
	case code == http.StatusForbidden:
		return pipeline.Fail(pipeline.Fatal, "%s: %w", where, err)
	case code == http.StatusBadRequest && contains(text, "does not support", "is required", "invalid model name", "cannot run this"):
		return pipeline.Fail(pipeline.Fatal, "%s: %w", where, err)
	case code == http.StatusBadRequest, code == http.StatusRequestEntityTooLarge:
		return pipeline.Fail(pipeline.BadItem, "%s: %w", where, err)
	case code == http.StatusInternalServerError:
		return byText(where, text, err)
	default: // 503 while it loads, 499 for a load whose client has gone, 429 and 502 from a proxy
		return pipeline.Fail(pipeline.Retryable, "%s: %w", where, err)
	}
}

// byText classifies errors of status 500 and errors inside a stream by their text.
func byText(where, text string, err error) *pipeline.Failure {
	switch {
	// Not "resource limitations": it says that of every runner that has ended, for any reason.
	case contains(text, "out of memory", "requires more system memory", "unable to load full model on GPU"):
		if contains(text, "running the model", "unexpectedly stopped") {
			return pipeline.Fail(pipeline.Retryable, "%s: %w: %w: %w", where, pipeline.ErrRunnerCrashed, pipeline.ErrMemory, err)
		}
		return pipeline.Fail(pipeline.Retryable, "%s: %w: %w", where, pipeline.ErrMemory, err)
	case contains(text, "error was encountered while running the model", "runner has unexpectedly stopped", "error reading llm response"):
		return pipeline.Fail(pipeline.Retryable, "%s: %w: %w", where, pipeline.ErrRunnerCrashed, err)
	case contains(text, "repeat limit reached"):
		return pipeline.Fail(pipeline.Degenerate, "%s: %w", where, err)
	case contains(text, "exceeds the context length", "exceeds maximum context length", "exceeds the available context"):
		return pipeline.Fail(pipeline.BadItem, "%s: %w", where, err)
	case contains(text, "template: "):
		return pipeline.Fail(pipeline.BadItem, "%s: %w", where, err)
	case strings.Contains(text, "option ") && strings.Contains(text, "must be of"),
		contains(text, "invalid format", "invalid JSON schema", "unqualified name"):
		return pipeline.Fail(pipeline.Fatal, "%s: %w: mend the options of the run", where, err)
	default: // above all a model that cannot be loaded just now
		return pipeline.Fail(pipeline.Retryable, "%s: %w", where, err)
	}
}

// unreachable is for errors of the connection.
func (c *Client) unreachable(where string, err error) *pipeline.Failure {
	if isRefused(err) {
		return pipeline.Fail(pipeline.Retryable, "%s: %w: is `ollama serve` running there?", where, withoutURL(err))
	}
	return pipeline.Fail(pipeline.Retryable, "%s: %w", where, withoutURL(err))
}

func contains(text string, parts ...string) bool {
	for _, p := range parts {
		if strings.Contains(text, p) {
			return true
		}
	}
	return false
}
