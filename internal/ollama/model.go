package ollama

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/ollama/ollama/api"
	"github.com/ollama/ollama/types/model"

	"gleaner/internal/pipeline"
)

// Ping asks the server for its version, to see that it is there.
func (c *Client) Ping(ctx context.Context) error {
	_, err := c.version(ctx)
	return err
}

// Models returns the names of the models that the server has, as it lists them.
func (c *Client) Models(ctx context.Context) ([]string, error) {
	list, err := c.list(ctx)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(list))
	for i, m := range list {
		names[i] = m.Name
	}
	return names, nil
}

// Describe returns what the server knows about a model. If it does not have it, the failure is
// Fatal, wraps ErrNoModel and names the models that are there.
//
// Context is what the server gives each slot if the model is loaded, so ask after WarmUp; the
// sizes are known only then. Otherwise Context is what the model itself asks for or was trained
// with, and the server may give less; 0 if the server does not say.
func (c *Client) Describe(ctx context.Context, name string) (pipeline.ModelInfo, error) {
	version, err := c.version(ctx)
	if err != nil {
		return pipeline.ModelInfo{}, err
	}
	list, err := c.list(ctx)
	if err != nil {
		return pipeline.ModelInfo{}, err
	}
	for _, m := range list {
		if sameModel(m.Name, name) {
			return c.describe(ctx, pipeline.ModelInfo{Name: m.Name, Digest: m.Digest, ServerVersion: version})
		}
	}
	there := "it has no models at all"
	if len(list) > 0 {
		names := make([]string, len(list))
		for i, m := range list {
			names[i] = m.Name
		}
		there = "it has " + strings.Join(names, ", ")
	}
	return pipeline.ModelInfo{}, pipeline.Fail(pipeline.Fatal, "ollama %s: %w: %s; %s: run `ollama pull %s` there", c.URL(), ErrNoModel, name, there, name)
}

// describe adds what the server says of the model once it is loaded, else what its description
// says of the context.
func (c *Client) describe(ctx context.Context, info pipeline.ModelInfo) (pipeline.ModelInfo, error) {
	loaded, ok, err := c.running(ctx, info.Name)
	if err != nil {
		return pipeline.ModelInfo{}, err
	}
	if ok {
		info.Context, info.SizeBytes, info.OnGPUBytes = loaded.ContextLength, loaded.Size, loaded.SizeVRAM
	}
	if info.Context == 0 {
		info.Context, err = c.describedContext(ctx, info.Name)
	}
	return info, err
}

// Loaded returns what the server says of a model that it has loaded. If it is not loaded the
// failure is Retryable.
func (c *Client) Loaded(ctx context.Context, name string) (pipeline.ModelInfo, error) {
	version, err := c.version(ctx)
	if err != nil {
		return pipeline.ModelInfo{}, err
	}
	m, ok, err := c.running(ctx, name)
	switch {
	case err != nil:
		return pipeline.ModelInfo{}, err
	case !ok:
		return pipeline.ModelInfo{}, pipeline.Fail(pipeline.Retryable, "ollama %s: model %s is not loaded any more", c.URL(), name)
	}
	return pipeline.ModelInfo{
		Name: m.Name, Digest: m.Digest, ServerVersion: version, Context: m.ContextLength, SizeBytes: m.Size, OnGPUBytes: m.SizeVRAM,
	}, nil
}

// WarmUp loads a model and waits until it is ready, at most ten minutes. The first request should
// not be one that may be cancelled: the server aborts a load when the request that caused it ends.
func (c *Client) WarmUp(ctx context.Context, name string) error {
	limited, cancel := context.WithTimeout(ctx, loadCall)
	defer cancel()
	no := false
	var resp api.GenerateResponse
	err := c.call(limited, http.MethodPost, "/api/generate", &api.GenerateRequest{Model: name, Stream: &no}, &resp)
	switch {
	case err != nil:
		return c.fail(ctx, "load", name, err)
	case !resp.Done || resp.DoneReason != "load":
		return pipeline.Fail(pipeline.Retryable, "load model %s on %s: the server did not say that it is loaded (reason %.32q)", name, c.URL(), resp.DoneReason)
	}
	return nil
}

// Pull has the server fetch a model from its registry. Progress, which may be nil, is called for
// each line of the server's report, with the step and with how many bytes of one layer are there
// of how many in all.
func (c *Client) Pull(ctx context.Context, name string, progress func(status string, done, total int64)) error {
	err := c.steps(ctx, "pull", name, "/api/pull", pullSilent, &api.PullRequest{Model: name}, progress)
	if err != nil && strings.Contains(err.Error(), "file does not exist") {
		return pipeline.Fail(pipeline.Fatal, "%w: %w: the registry does not have it", ErrNoModel, err)
	}
	return err
}

func (c *Client) version(ctx context.Context) (string, error) {
	var v struct {
		Version string `json:"version"`
	}
	if err := c.quick(ctx, http.MethodGet, "/api/version", nil, &v); err != nil {
		return "", err
	}
	if v.Version == "" {
		return "", pipeline.Fail(pipeline.Fatal, "ollama %s: what answers there does not say its version: is that the address of an Ollama server?", c.URL())
	}
	return v.Version, nil
}

func (c *Client) list(ctx context.Context) ([]api.ListModelResponse, error) {
	var list api.ListResponse
	err := c.quick(ctx, http.MethodGet, "/api/tags", nil, &list)
	return list.Models, err
}

// running returns what the server says of a model if it has loaded it.
func (c *Client) running(ctx context.Context, name string) (m api.ProcessModelResponse, ok bool, err error) {
	var ps api.ProcessResponse
	if err := c.quick(ctx, http.MethodGet, "/api/ps", nil, &ps); err != nil {
		return m, false, err
	}
	for _, m := range ps.Models {
		if sameModel(m.Name, name) {
			return m, true, nil
		}
	}
	return m, false, nil
}

// describedContext returns the context that a model's description asks for, or that it was
// trained with; 0 if neither is there.
func (c *Client) describedContext(ctx context.Context, name string) (int, error) {
	var show api.ShowResponse
	if err := c.quick(ctx, http.MethodPost, "/api/show", &api.ShowRequest{Model: name}, &show); err != nil {
		return 0, err
	}
	for line := range strings.Lines(show.Parameters) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == "num_ctx" {
			if n, err := strconv.Atoi(f[1]); err == nil && n > 0 {
				return n, nil
			}
		}
	}
	for key, value := range show.ModelInfo {
		if n, ok := value.(float64); ok && strings.HasSuffix(key, ".context_length") {
			return int(n), nil
		}
	}
	return 0, nil
}

// quick makes a call that a healthy server answers at once.
func (c *Client) quick(ctx context.Context, method, path string, in, out any) error {
	limited, cancel := context.WithTimeout(ctx, quickCall)
	defer cancel()
	err := c.call(limited, method, path, in, out)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return c.interrupted(ctx, path)
	}
	var status api.StatusError
	switch {
	case errors.As(err, &status) && status.StatusCode == http.StatusNotFound:
		return pipeline.Fail(pipeline.Fatal, "ollama %s: %s: %w: is that the address of an Ollama server?", c.URL(), path, err)
	case limited.Err() != nil:
		return pipeline.Fail(pipeline.Retryable, "ollama %s: no answer to %s within %v: is `ollama serve` running there?", c.URL(), path, quickCall)
	}
	return c.unreachable("ollama "+c.URL(), err)
}

// fail gives the error of a call about a model its class.
func (c *Client) fail(ctx context.Context, what, model string, err error) *pipeline.Failure {
	if ctx.Err() != nil {
		return c.interrupted(ctx, what+" model "+model)
	}
	return c.classify(what, model, err)
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

// sameModel compares names as Ollama does: without case, and ":latest" may be left out.
func sameModel(a, b string) bool {
	return model.ParseName(a).EqualFold(model.ParseName(b))
}
