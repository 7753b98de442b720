package ollama

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"gleaner/internal/pipeline"
	"gleaner/internal/text"
)

// ErrNoModel is wrapped by the failures that say that the server does not have the model.
var ErrNoModel = errors.New("no such model")

// classify gives an error of a request about a model its class. What does not change with the
// version of a server counts first: the status, then the type that llama.cpp gives its errors, and
// the words last.
func (c *Client) classify(what, model string, err error) *pipeline.Failure {
	where := fmt.Sprintf("%s with model %s on %s", what, model, c.URL())
	var r *reply
	if !errors.As(err, &r) {
		return c.unreachable(where, err)
	}
	return c.refused(where, model, r)
}

// refused gives what came in place of an answer its class.
func (c *Client) refused(where, model string, r *reply) *pipeline.Failure {
	r.words = c.credentials.secrets.Hide(r.words)
	f := c.byStatus(where, model, r)
	if f == nil {
		f = byType(where, r)
	}
	if f == nil {
		f = byWords(where, model, r)
	}
	if r.status >= 400 {
		f.Err = &pipeline.StatusError{Code: r.status, Err: f.Err}
	}
	return f
}

// byStatus classifies what its status says enough of, else it returns nil.
func (c *Client) byStatus(where, model string, r *reply) *pipeline.Failure {
	switch code := r.status; {
	case code >= 200 && code < 300:
		return pipeline.Fail(pipeline.Retryable, "%s: a web page in place of an answer: %w: is that the address of an Ollama server, or of a login in front of it?", where, r)
	case code >= 300 && code < 400:
		return pipeline.Fail(pipeline.Fatal, "%s: %w: %s", where, r, c.moved(r))
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return pipeline.Fail(pipeline.Fatal, "%s: %w: %s", where, r, c.denied(r))
	case code == http.StatusProxyAuthRequired:
		return pipeline.Fail(pipeline.Fatal, "%s: %w: the proxy wants user and password: write them into HTTP_PROXY, as http://USER:PASSWORD@host:port", where, r)
	case code == http.StatusNotFound && !r.page && strings.Contains(r.all, "model"):
		return pipeline.Fail(pipeline.Fatal, "%s: %w: %w: run `ollama pull %s` there", where, ErrNoModel, r, model)
	case code == http.StatusNotFound, code == http.StatusMethodNotAllowed, code == http.StatusNotImplemented:
		return pipeline.Fail(pipeline.Fatal, "%s: %w: is that the address of an Ollama server?", where, r)
	case code == http.StatusRequestEntityTooLarge:
		return pipeline.Fail(pipeline.BadItem, "%s: %w", where, r)
	case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable:
		return busy(where, r)
	case code == statusClientGone:
		return pipeline.Fail(pipeline.Retryable, "%s: %w: %w", where, pipeline.ErrNotStarted, r)
	case code == http.StatusBadRequest && r.page && contains(r.all, "https"):
		return pipeline.Fail(pipeline.Fatal, "%s: %w: use %s", where, r, c.withScheme("https"))
	case code != 0 && r.page:
		return pipeline.Fail(pipeline.Retryable, "%s: %w", where, r)
	}
	return nil
}

// statusClientGone is what Ollama answers to requests that waited for a load whose client has gone.
const statusClientGone = 499

func busy(where string, r *reply) *pipeline.Failure {
	return &pipeline.Failure{Class: pipeline.Retryable, Err: &pipeline.BusyError{After: r.after, Err: fmt.Errorf("%s: %w", where, r)}}
}

// byType classifies by the types of llama.cpp, which hold numbers where those matter; else it
// returns nil.
func byType(where string, r *reply) *pipeline.Failure {
	switch r.kind {
	case "exceed_context_size_error":
		return tooLong(where, r)
	case "unavailable_error":
		return busy(where, r)
	case "not_supported_error", "not_found_error", "authentication_error", "permission_error":
		return pipeline.Fail(pipeline.Fatal, "%s: %w", where, r)
	}
	return nil
}

// tooLong is for a prompt that does not fit into the server's context.
func tooLong(where string, r *reply) *pipeline.Failure {
	if r.promptTokens == 0 { // llama-server's words with its numbers, without its JSON
		_, _ = fmt.Sscanf(r.all[max(strings.Index(r.all, "request ("), 0):], "request (%d tokens) exceeds the available context size (%d tokens)", &r.promptTokens, &r.context)
	}
	err := fmt.Errorf("%s: %w: give the server a larger context (OLLAMA_CONTEXT_LENGTH)", where, r)
	return &pipeline.Failure{Class: pipeline.BadItem, Err: &pipeline.ContextError{PromptTokens: r.promptTokens, Context: r.context, Err: err}}
}

// byWords classifies by the words of the versions that are known, 0.17 to 0.33.
func byWords(where, model string, r *reply) *pipeline.Failure {
	crashed := contains(r.all, "error was encountered while running the model", "runner has unexpectedly stopped", "error reading llm response",
		"error reading llama-server response", "error reading llama-server chat response", "compute error")
	switch {
	case noMemory(r.all) && crashed:
		return pipeline.Fail(pipeline.Retryable, "%s: %w: %w: %w", where, pipeline.ErrRunnerCrashed, pipeline.ErrMemory, r)
	case noMemory(r.all):
		return pipeline.Fail(pipeline.Retryable, "%s: %w: %w", where, pipeline.ErrMemory, r)
	case crashed:
		return pipeline.Fail(pipeline.Retryable, "%s: %w: %w", where, pipeline.ErrRunnerCrashed, r)
	case contains(r.all, "process no longer running"):
		return pipeline.Fail(pipeline.Retryable, "%s: %w: %w", where, pipeline.ErrNotStarted, r)
	case contains(r.all, "repeat limit reached"):
		return pipeline.Fail(pipeline.Degenerate, "%s: %w: %w", where, pipeline.ErrRepeats, r)
	case contains(r.all, "exceeds the context length", "exceeds maximum context length", "exceeds the available context", "longer than the context length"),
		r.status == http.StatusBadRequest && contains(r.all, "context length", "context size"):
		return tooLong(where, r)
	case r.status == http.StatusBadRequest && contains(r.all, "does not support tools"):
		return noTools(where, r)
	case contains(r.all, "template: "):
		return pipeline.Fail(pipeline.BadItem, "%s: %w", where, r)
	}
	if advice := brokenModel(model, r.all); advice != "" {
		return pipeline.Fail(pipeline.Fatal, "%s: %w: %s", where, r, advice)
	}
	if contains(r.all, "invalid format", "invalid json schema", "json schema in format") {
		return pipeline.Fail(pipeline.Fatal, "%s: %w: mend the options of the run: this server cannot hold a model to its schema (--schema). "+
			"Of what JSON Schema has, servers know types, properties, items, enum, const, anyOf, $ref and patterns from ^ to $", where, r)
	}
	if wrongRequest(r) {
		return pipeline.Fail(pipeline.Fatal, "%s: %w: mend the options of the run", where, r)
	}
	if r.status == http.StatusBadRequest {
		return pipeline.Fail(pipeline.BadItem, "%s: %w", where, r)
	}
	return pipeline.Fail(pipeline.Retryable, "%s: %w", where, r) // above all a model that cannot be loaded just now
}

// noMemory knows what Ollama takes for a lack of memory, and what it says of it itself. It does not
// know "resource limitations": that is said of every runner that has ended, for any reason.
func noMemory(words string) bool {
	return contains(words, "out of memory", "out-of-memory", "out of device memory", "out_of_device_memory", "erroroutofmemory", "erroroutofdevicememory",
		"insufficient memory", "not enough memory", "failed to allocate", "unable to allocate", "allocation failed", "failed to commit memory", "memory layout cannot be allocated",
		"cudamalloc failed", "hipmalloc failed", "requires more system memory", "unable to load full model on gpu")
}

// brokenModel returns what to do about a model, or an installation, that can never be loaded; empty
// if it is none of these.
func brokenModel(model, words string) string {
	switch {
	case contains(words, "llama-server binary not found", "unable to lookup executable path"):
		return "a part of Ollama is missing there: install it again, with all of its folder lib/ollama"
	case contains(words, "exceeds file size", "unexpected end of file in model"):
		return fmt.Sprintf("the model's file is cut off: run `ollama rm %s` and then `ollama pull %s` there", model, model)
	case contains(words, "failed to load model", "unable to load model", "unknown model architecture", "unsupported model architecture", "may be incompatible with your version"):
		return fmt.Sprintf("this Ollama cannot load this model: update Ollama, or run `ollama pull %s` there; its log says more", model)
	}
	return ""
}

// wrongRequest reports whether a request fails with every item, because of what the run asks for.
func wrongRequest(r *reply) bool {
	if contains(r.all, "option ") && contains(r.all, "must be of") {
		return true
	}
	if r.status == http.StatusBadRequest && contains(r.all, "does not support", "not supported for this model", "is required", "invalid model name", "cannot run this") {
		return true
	}
	return contains(r.all, "invalid format", "invalid json schema", "unqualified name", "json_schema", "json schema", "parser for this template", "invalid think value", "input is not supported")
}

// denied says which credentials are missing, or which were refused, and how to give them.
func (c *Client) denied(r *reply) string {
	inURL := fmt.Sprintf("user and password go into the address, %s://USER:PASSWORD@%s%s, best in OLLAMA_HOST, since others can see a command line", c.base.Scheme, c.base.Host, c.base.Path)
	const inKey = "a key goes into " + EnvKey
	sent, _, _ := strings.Cut(c.credentials.header, " ")
	wants, _, _ := strings.Cut(r.wants, " ")
	switch {
	case r.signin:
		return "the model runs in Ollama's cloud, which wants a sign-in: use a model that runs on the server itself"
	case r.status == http.StatusForbidden && !r.page && r.words != "":
		return "the server forbids it"
	case sent != "" && (wants == "" || strings.EqualFold(wants, sent)):
		return "it refuses " + c.credentials.kind
	case strings.EqualFold(wants, "basic"):
		return "credentials are missing: " + inURL
	case strings.EqualFold(wants, "bearer"):
		return "credentials are missing: " + inKey
	case r.status == http.StatusForbidden:
		return fmt.Sprintf("credentials may be missing: %s; %s. An Ollama that listens on 127.0.0.1 alone also refuses every other name of its host", inURL, inKey)
	}
	return fmt.Sprintf("credentials are missing: %s; %s", inURL, inKey)
}

// moved says where a redirect leads and what to do about it. It is not followed.
func (c *Client) moved(r *reply) string {
	if r.to == nil {
		return "it sends requests elsewhere and does not say where: is that the address of an Ollama server?"
	}
	to := *r.to
	to.User, to.RawQuery, to.Fragment, to.RawFragment = nil, "", "", ""
	api := strings.Index(to.Path, "/api/")
	if api >= 0 { // what is left is an address as it is given to this program
		to.Path, to.RawPath = to.Path[:api], ""
	}
	address := text.Shorten(text.OneLine(to.String()), maxPageWords)
	switch {
	case to.Hostname() != c.base.Hostname():
		return fmt.Sprintf("it sends requests to another host, %s, to which they are not sent: if that is your server, use this address", address)
	case api < 0:
		return fmt.Sprintf("it sends requests to %s: does a login stand in front of the server?", address)
	}
	return fmt.Sprintf("use %s, to which it sends requests", address)
}

// withScheme returns the address with another scheme.
func (c *Client) withScheme(scheme string) string {
	u := *c.base
	u.Scheme = scheme
	return u.String()
}

// unreachable is for errors of the connection.
func (c *Client) unreachable(where string, err error) *pipeline.Failure {
	err = withoutURL(err)
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &certificate):
		return pipeline.Fail(pipeline.Fatal, "%s: %w: if its certificate is signed by an authority of your own, write the path of that one's certificate into SSL_CERT_FILE", where, err)
	case errors.Is(err, http.ErrSchemeMismatch):
		return pipeline.Fail(pipeline.Fatal, "%s: %w: use %s", where, err, c.withScheme("http"))
	case strings.Contains(err.Error(), `malformed HTTP response "\x15\x03`): // an alert of TLS
		return pipeline.Fail(pipeline.Fatal, "%s: it answers in TLS: use %s", where, c.withScheme("https"))
	case isRefused(err):
		return pipeline.Fail(pipeline.Retryable, "%s: %w: is `ollama serve` running there?", where, err)
	}
	return pipeline.Fail(pipeline.Retryable, "%s: %w", where, err)
}

// isRefused reports whether no process listens at the address, or there is no such address.
func isRefused(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// withoutURL leaves out the method and address that an error of net/http begins with: the message
// has them already.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// contains takes words in lower case.
func contains(words string, parts ...string) bool {
	for _, p := range parts {
		if strings.Contains(words, p) {
			return true
		}
	}
	return false
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

// aboutTools returns the failure of a request that a server refused as it is. If it has tools, and
// the words are about these or about a schema, which a server makes of their parameters, then that
// is said of this row alone: others have other tools, or none.
func aboutTools(req pipeline.Request, f *pipeline.Failure, err error) *pipeline.Failure {
	var r *reply
	if req.Tools == "" || f.Class != pipeline.Fatal || !errors.As(err, &r) || r.status == 0 || !wrongRequest(r) ||
		!contains(r.all, "tool", "schema", "grammar", "parser for this template") {
		return f
	}
	return &pipeline.Failure{Class: pipeline.BadItem, Err: fmt.Errorf("%w: or the server refuses the tools of this row", f.Err)}
}

// noTools is for a request with tools and a model that knows none. Every other request is answered.
func noTools(where string, err error) *pipeline.Failure {
	return pipeline.Fail(pipeline.BadItem, "%s: %w: take a model with tools (`ollama show MODEL` lists what a model can do), or rows without them", where, err)
}
