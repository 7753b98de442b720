package ollama

import (
	"cmp"
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
	info, _, err := c.look(ctx, name)
	if err != nil {
		return pipeline.ModelInfo{}, err
	}
	shown, err := c.show(ctx, info.Name)
	if err != nil {
		return pipeline.ModelInfo{}, err
	}
	info.Template = templateOf(shown)
	info = abilitiesOf(shown).of(info)
	if info.Context == 0 {
		info.Context = cmp.Or(configuredContext(shown), info.Trained)
	}
	return info, nil
}

// Loaded returns what the server says of a model that it has loaded, all but the template. If it
// is not loaded the failure is Retryable.
func (c *Client) Loaded(ctx context.Context, name string) (pipeline.ModelInfo, error) {
	info, loaded, err := c.look(ctx, name)
	if err == nil && !loaded {
		err = pipeline.Fail(pipeline.Retryable, "ollama %s: model %s is not loaded any more", c.URL(), name)
	}
	if err != nil {
		return pipeline.ModelInfo{}, err
	}
	return c.abilities(ctx, info).of(info), nil
}

// look returns what a name stands for, with its context and its sizes if it is loaded.
//
// The server lists what runs under the name and the digest by which it was loaded first. It goes on
// with that for all models of the same weights, also for another template under the same name, so
// the digest of what answers next is the one that the name stands for, not the one that is listed
// as running.
//
// The sizes stay 0 where the server did not measure them: since version 0.30 it reads them from the
// log of its runner, and where it cannot, it takes the size of the file for both, also on a CPU. A
// model that is loaded takes its context's room, too.
func (c *Client) look(ctx context.Context, name string) (info pipeline.ModelInfo, loaded bool, err error) {
	if info, err = c.Identify(ctx); err != nil {
		return info, false, err
	}
	list, err := c.list(ctx)
	if err != nil {
		return info, false, err
	}
	named, err := c.find(list, name)
	if err != nil {
		return info, false, err
	}
	info.Name, info.Digest = named.Name, named.Digest
	var ps api.ProcessResponse
	if err := c.quick(ctx, http.MethodGet, "/api/ps", nil, &ps); err != nil {
		return info, false, err
	}
	info.Note = cmp.Or(info.Note, othersNote(ps.Models, named))
	i := slices.IndexFunc(ps.Models, func(m api.ProcessModelResponse) bool { return m.Digest == named.Digest })
	if i < 0 {
		i = slices.IndexFunc(ps.Models, func(m api.ProcessModelResponse) bool { return sameModel(m.Name, name) })
	}
	if i < 0 {
		return info, false, nil
	}
	running := ps.Models[i]
	info.Context = max(running.ContextLength, 0)
	if running.Size != running.SizeVRAM || running.Size > named.Size {
		info.SizeBytes, info.OnGPUBytes = running.Size, running.SizeVRAM
	}
	return info, true, nil
}

// othersNote says that a server has other models loaded besides this one, or nothing. Names of the
// same weights share one runner, and do no harm to each other.
func othersNote(loaded []api.ProcessModelResponse, ours api.ListModelResponse) string {
	for _, m := range loaded {
		if m.Digest != ours.Digest && !sameModel(m.Name, ours.Name) {
			return "model " + text.Shorten(m.Name, 64) + " is in use on the same server: where there is no room for both, each request for one unloads the other, so give each a server of its own"
		}
	}
	return ""
}

// find returns what a name stands for, or a failure that names what is there.
func (c *Client) find(list []api.ListModelResponse, name string) (api.ListModelResponse, error) {
	for _, m := range list {
		if sameModel(m.Name, name) {
			return m, nil
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
	return api.ListModelResponse{}, pipeline.Fail(pipeline.Fatal, "ollama %s: %w: %s; %s: run `ollama pull %s` there", c.URL(), ErrNoModel, name, there, name)
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
	case !resp.Done || resp.DoneReason != reasonLoad:
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

// configuredContext returns the context that a model's description asks for; 0 if it asks for none.
func configuredContext(shown api.ShowResponse) int {
	for line := range strings.Lines(shown.Parameters) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == "num_ctx" {
			if n, err := strconv.Atoi(f[1]); err == nil && n > 0 {
				return n
			}
		}
	}
	return 0
}

// trainedContext returns the context that a model was trained with; 0 if that is not known.
func trainedContext(shown api.ShowResponse) int {
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

// abilities are what the description of a model says that it can do.
type abilities struct {
	says, thinks bool // as in pipeline.ModelInfo
	trained      int
}

func abilitiesOf(shown api.ShowResponse) abilities {
	return abilities{len(shown.Capabilities) > 0, slices.Contains(shown.Capabilities, model.CapabilityThinking), trainedContext(shown)}
}

// of returns what is known of a model, with its abilities.
func (a abilities) of(info pipeline.ModelInfo) pipeline.ModelInfo {
	info.SaysThinks, info.Thinks, info.Trained = a.says, a.thinks, a.trained
	return info
}

// abilities returns those of a model, for which the server is asked once for each digest. A server
// that does not answer that is asked again the next time.
func (c *Client) abilities(ctx context.Context, info pipeline.ModelInfo) abilities {
	c.models.mu.Lock()
	known, asked := c.models.able[info.Digest]
	c.models.mu.Unlock()
	if asked {
		return known
	}
	shown, err := c.show(ctx, info.Name)
	if err != nil {
		return abilities{}
	}
	known = abilitiesOf(shown)
	c.models.mu.Lock()
	if c.models.able == nil || len(c.models.able) > maxKnown {
		c.models.able = map[string]abilities{}
	}
	c.models.able[info.Digest] = known
	c.models.mu.Unlock()
	return known
}

// maxKnown bounds what is remembered of models.
const maxKnown = 100
