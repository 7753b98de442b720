package ollama

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/ollama/ollama/api"
	"github.com/ollama/ollama/types/model"

	"gleaner/internal/pipeline"
	"gleaner/internal/text"
)

// Ping asks the server for its version, to see that it is there.
func (c *Client) Ping(ctx context.Context) error {
	_, err := c.Identify(ctx)
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

// Identify returns what the server says of itself, without any model.
func (c *Client) Identify(ctx context.Context) (pipeline.ModelInfo, error) {
	var v struct {
		Version   string `json:"version"`
		Simulated bool   `json:"simulated"`
	}
	if err := c.quick(ctx, http.MethodGet, "/api/version", nil, &v); err != nil {
		return pipeline.ModelInfo{}, err
	}
	if v.Version == "" {
		return pipeline.ModelInfo{}, pipeline.Fail(pipeline.Fatal, "ollama %s: what answers there does not say its version: is that the address of an Ollama server?", c.URL())
	}
	version := text.Shorten(text.OneLine(v.Version), 60)
	return pipeline.ModelInfo{Engine: pipeline.Ollama, ServerVersion: version, Simulated: v.Simulated, Note: versionNote(version)}, nil
}

// Describe returns what the server knows about a model. If it does not have it, the failure is
// Fatal, wraps ErrNoModel and names the models that are there.
//
// Context is what the server gives each slot if the model is loaded, so ask after WarmUp; the
// sizes are known only then. Otherwise Context is what the model itself asks for or was trained
// with, and the server may give less; 0 if the server does not say.
func (c *Client) Describe(ctx context.Context, name string) (pipeline.ModelInfo, error) {
	info, err := c.Identify(ctx)
	if err != nil {
		return pipeline.ModelInfo{}, err
	}
	list, err := c.list(ctx)
	if err != nil {
		return pipeline.ModelInfo{}, err
	}
	for _, m := range list {
		if sameModel(m.Name, name) {
			info.Name, info.Digest = m.Name, m.Digest
			return c.describe(ctx, info)
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

// describe adds what the server says of the model once it is loaded, and what its description says
// of the context and the template.
func (c *Client) describe(ctx context.Context, info pipeline.ModelInfo) (pipeline.ModelInfo, error) {
	loaded, ok, err := c.running(ctx, info.Name)
	if err != nil {
		return pipeline.ModelInfo{}, err
	}
	shown, err := c.show(ctx, info.Name)
	if err != nil {
		return pipeline.ModelInfo{}, err
	}
	info.Template = templateOf(shown)
	if ok {
		if info, err = c.withLoaded(ctx, info, loaded); err != nil {
			return pipeline.ModelInfo{}, err
		}
	}
	if info.Context == 0 {
		info.Context = describedContext(shown)
	}
	return info, nil
}

// Loaded returns what the server says of a model that it has loaded, all but the template. If it
// is not loaded the failure is Retryable.
func (c *Client) Loaded(ctx context.Context, name string) (pipeline.ModelInfo, error) {
	info, err := c.Identify(ctx)
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
	info.Name = m.Name
	return c.withLoaded(ctx, info, m)
}

// withLoaded adds what is said of the model that is loaded, whose digest may be another one than
// that of the name by now. The sizes stay 0 where the server did not measure them: since version
// 0.30 it reads them from the log of its runner, and where it cannot, it takes the size of the file
// for both, also on a CPU.
func (c *Client) withLoaded(ctx context.Context, info pipeline.ModelInfo, loaded api.ProcessModelResponse) (pipeline.ModelInfo, error) {
	info.Digest, info.Context = loaded.Digest, max(loaded.ContextLength, 0)
	if loaded.Size == loaded.SizeVRAM {
		file, err := c.fileSize(ctx, loaded.Digest)
		if err != nil {
			return pipeline.ModelInfo{}, err
		}
		if loaded.Size <= file { // a model that is loaded takes its context's room, too
			return info, nil
		}
	}
	info.SizeBytes, info.OnGPUBytes = loaded.Size, loaded.SizeVRAM
	return info, nil
}

// fileSize returns the size of a model's files; 0 if the server does not list this digest.
func (c *Client) fileSize(ctx context.Context, digest string) (int64, error) {
	if size, ok := c.files.Load(digest); ok {
		return size.(int64), nil
	}
	list, err := c.list(ctx)
	if err != nil {
		return 0, err
	}
	var size int64
	for _, m := range list {
		if m.Digest == digest {
			size = m.Size
		}
	}
	c.files.Store(digest, size)
	return size, nil
}

// WarmUp loads a model and waits until it is ready, at most ten minutes. The first request should
// not be one that may be cancelled: the server aborts a load when the request that caused it ends.
func (c *Client) WarmUp(ctx context.Context, name string) error {
	limited, cancel := context.WithTimeout(ctx, loadCall)
	defer cancel()
	no := false
	// Since version 0.30 shift belongs to the process that runs the model: with another value than
	// that of the first chat the model would be loaded twice.
	load := &api.GenerateRequest{Model: name, Stream: &no, Shift: &no}
	var resp api.GenerateResponse
	err := c.call(limited, http.MethodPost, "/api/generate", load, &resp)
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
	ps.Models = slices.DeleteFunc(ps.Models, func(m api.ProcessModelResponse) bool { return !sameModel(m.Name, name) })
	switch len(ps.Models) {
	case 0:
		return m, false, nil
	case 1:
		return ps.Models[0], true, nil
	}
	// The name stands for another model since one of them was loaded: requests go to the new one.
	list, err := c.list(ctx)
	if err != nil {
		return m, false, err
	}
	for _, m := range ps.Models {
		if slices.ContainsFunc(list, func(l api.ListModelResponse) bool { return sameModel(l.Name, name) && l.Digest == m.Digest }) {
			return m, true, nil
		}
	}
	return ps.Models[0], true, nil
}

// show returns a model's description. A server that does not give it, as some forks, has none.
func (c *Client) show(ctx context.Context, name string) (api.ShowResponse, error) {
	var shown api.ShowResponse
	err := c.quick(ctx, http.MethodPost, "/api/show", &api.ShowRequest{Model: name}, &shown)
	var r *reply
	if errors.As(err, &r) && (r.status == http.StatusNotFound || r.status == http.StatusMethodNotAllowed) {
		return api.ShowResponse{}, nil
	}
	return shown, err
}

// templateOf returns a short hash of what a model adds to each request: two servers whose digests
// agree have the same one, and where digests differ it tells whether prompts do, too.
func templateOf(shown api.ShowResponse) string {
	if shown.Template == "" && shown.Parameters == "" {
		return ""
	}
	parameters := slices.Sorted(strings.Lines(shown.Parameters + "\n")) // the server lists them in any order
	sum := sha256.Sum256([]byte(shown.Template + "\x00" + strings.Join(parameters, "")))
	return hex.EncodeToString(sum[:6])
}

// describedContext returns the context that a model's description asks for, or that it was
// trained with; 0 if neither is there.
func describedContext(shown api.ShowResponse) int {
	for line := range strings.Lines(shown.Parameters) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == "num_ctx" {
			if n, err := strconv.Atoi(f[1]); err == nil && n > 0 {
				return n
			}
		}
	}
	for key, value := range shown.ModelInfo {
		if n, ok := value.(float64); ok && strings.HasSuffix(key, ".context_length") {
			return int(n)
		}
	}
	return 0
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
	where := "ollama " + c.URL() + ": " + path
	var r *reply
	switch {
	case errors.As(err, &r):
		return c.refused(where, "", r)
	case limited.Err() != nil:
		return pipeline.Fail(pipeline.Retryable, "ollama %s: no answer to %s within %v: is `ollama serve` running there?", c.URL(), path, quickCall)
	}
	if c.base.Scheme == "http" && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)) {
		return pipeline.Fail(pipeline.Retryable, "%s: %w: if it wants TLS, use %s", where, withoutURL(err), c.withScheme("https"))
	}
	return c.unreachable(where, err)
}

// fail gives the error of a call about a model its class.
func (c *Client) fail(ctx context.Context, what, model string, err error) *pipeline.Failure {
	if ctx.Err() != nil {
		return c.interrupted(ctx, what+" model "+model)
	}
	return c.classify(what, model, err)
}

// sameModel compares names as Ollama does: without case, and ":latest" may be left out.
func sameModel(a, b string) bool {
	return model.ParseName(a).EqualFold(model.ParseName(b))
}
