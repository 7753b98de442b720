package ollamasim

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ollama/ollama/api"
	"github.com/ollama/ollama/types/model"

	"gleaner/internal/pipeline"
)

// modelBytes is the size that every model claims: Mistral 7B in four bits.
const modelBytes = 4_109_865_159

// A modelInfo is a model that the server has.
type modelInfo struct {
	name   string // with its tag
	digest string
	since  time.Time
}

// mark is the field by which the server says that it only pretends to have models.
type mark struct {
	Simulated bool `json:"simulated"`
}

// fullName adds the tag that may be left out.
func fullName(name string) string {
	if name != "" && !strings.Contains(name, ":") {
		return name + ":latest"
	}
	return name
}

// add adds a model, under a name that says that it is simulated. The caller holds mu.
func (s *Server) add(name string) {
	name = fullName(pipeline.SimulatedModel(name))
	digest := cmp.Or(s.cfg.Digest, fmt.Sprintf("%x", sha256.Sum256([]byte(name))))
	s.models[name] = modelInfo{name: name, digest: digest, since: time.Now().UTC()}
}

// SetDigest gives a model another digest, as if another one had been pulled or copied to its name.
// As in Ollama, what is loaded stays until the next request, which loads the new one.
func (s *Server) SetDigest(model, digest string) {
	name := fullName(pipeline.SimulatedModel(model))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.models[name] = modelInfo{name: name, digest: digest, since: time.Now().UTC()}
}

// find returns a model by its name as people write it, which is not found without its prefix.
func (s *Server) find(name string) (modelInfo, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.models[fullName(name)]
	return m, ok
}

func details() api.ModelDetails {
	return api.ModelDetails{Format: "gguf", Family: "llama", Families: []string{"llama"}, ParameterSize: "7.2B", QuantizationLevel: "Q4_0"}
}

func (s *Server) tags(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	list := api.ListResponse{Models: []api.ListModelResponse{}}
	for _, m := range s.models {
		list.Models = append(list.Models, api.ListModelResponse{Name: m.name, Model: m.name, ModifiedAt: m.since, Size: modelBytes, Digest: m.digest, Details: details()})
	}
	s.mu.Unlock()
	slices.SortFunc(list.Models, func(a, b api.ListModelResponse) int { return cmp.Compare(a.Name, b.Name) })
	reply(w, http.StatusOK, list)
}

func (s *Server) ps(w http.ResponseWriter, r *http.Request) {
	cfg := s.config()
	s.mu.Lock()
	list := api.ProcessResponse{Models: []api.ProcessModelResponse{}}
	for name, l := range s.loaded {
		select {
		case <-l.ready:
		default:
			continue
		}
		size := int64(modelBytes + cfg.Slots*cfg.Context*128<<10) // weights and KV cache
		list.Models = append(list.Models, api.ProcessModelResponse{Name: name, Model: name, Size: size, SizeVRAM: size,
			Digest: l.digest, Details: details(), ExpiresAt: time.Now().AddDate(200, 0, 0), ContextLength: cfg.Context})
	}
	s.mu.Unlock()
	slices.SortFunc(list.Models, func(a, b api.ProcessModelResponse) int { return cmp.Compare(a.Name, b.Name) })
	reply(w, http.StatusOK, list)
}

func (s *Server) show(w http.ResponseWriter, r *http.Request) {
	var req api.ShowRequest
	if !readRequest(w, r, &req) {
		return
	}
	name := req.Model
	if name == "" {
		fail(w, http.StatusBadRequest, "model is required")
		return
	}
	m, ok := s.find(name)
	if !ok {
		fail(w, http.StatusNotFound, fmt.Sprintf("model '%s' not found", name))
		return
	}
	reply(w, http.StatusOK, struct {
		mark
		api.ShowResponse
	}{mark{true}, api.ShowResponse{
		Modelfile:    "# a simulated model\nFROM " + m.name + "\n",
		Template:     "{{ if .System }}{{ .System }} {{ end }}{{ .Prompt }}",
		Details:      details(),
		Capabilities: capabilities(m.name),
		ModelInfo:    map[string]any{"general.architecture": "llama", "llama.context_length": max(32768, s.config().Context)},
	}})
}

func capabilities(name string) []model.Capability {
	switch {
	case canThink(name):
		return []model.Capability{model.CapabilityCompletion, model.CapabilityThinking}
	case knowsTools(name):
		return []model.Capability{model.CapabilityCompletion, model.CapabilityTools}
	}
	return []model.Capability{model.CapabilityCompletion}
}

// pull adds a model, with the progress lines that a real pull has. The registry has every model
// but those whose name begins with "no-such". What was asked for by the name of a real model is
// there under a simulated one's name, and not under its own.
func (s *Server) pull(w http.ResponseWriter, r *http.Request) {
	var req api.PullRequest
	if !readRequest(w, r, &req) {
		return
	}
	name := fullName(pipeline.SimulatedModel(req.Model))
	if name == "" || strings.ContainsAny(name, " \t") {
		fail(w, http.StatusBadRequest, "invalid model name")
		return
	}
	stream := req.Stream == nil || *req.Stream
	out := newLines(w)
	say := func(p api.ProgressResponse) {
		if stream {
			out.write(p)
			out.flush()
		}
	}
	say(api.ProgressResponse{Status: "pulling manifest"})
	if strings.HasPrefix(strings.TrimPrefix(name, pipeline.SimulatedPrefix), "no-such") {
		const text = "pull model manifest: file does not exist"
		if !stream {
			fail(w, http.StatusInternalServerError, text)
			return
		}
		out.write(map[string]string{"error": text})
		return
	}
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("layer of "+name)))
	const steps = 10
	for i := range steps + 1 {
		say(api.ProgressResponse{Status: "pulling " + digest[7:19], Digest: digest, Total: modelBytes, Completed: modelBytes * int64(i) / steps})
	}
	say(api.ProgressResponse{Status: "verifying sha256 digest"})
	say(api.ProgressResponse{Status: "writing manifest"})
	s.mu.Lock()
	s.add(name)
	s.mu.Unlock()
	if stream {
		out.write(api.ProgressResponse{Status: "success"})
		return
	}
	reply(w, http.StatusOK, api.ProgressResponse{Status: "success"})
}
