package ollamatest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ollama/ollama/api"

	"gleaner/internal/ollama/gguftest"
)

// Small is a model that is slower than the tiny ones: some hundred tokens a second. Its answers
// never end.
const Small = "small"

// TinyModels returns the names of the models that a real server for tests has.
func TinyModels() Models {
	return Models{Stop: "tiny", Endless: "tiny-endless", Loop: "tiny-loop", Tools: "tiny-tools", Plain: "tiny-plain", Thinks: "tiny-thinks"}
}

// A recipe is a model and what makes a prompt for it.
type recipe struct {
	gguftest.Config
	template string
}

// The templates. The first is of the kind that has no place for more than one question and its
// answer; the second has one for all turns, for tools, their calls and their results.
const (
	plainTemplate = `[INST] {{ if .System }}{{ .System }} {{ end }}{{ .Prompt }} [/INST]`
	toolsTemplate = `{{ if .Tools }}[AVAILABLE_TOOLS] {{ .Tools }} [/AVAILABLE_TOOLS]{{ end }}` +
		`{{ range $i, $m := .Messages }}{{ $last := eq (len (slice $.Messages $i)) 1 }}` +
		`{{ if eq .Role "system" }}{{ .Content }} ` +
		`{{ else if eq .Role "user" }}[INST] {{ .Content }} [/INST]` +
		`{{ else if eq .Role "tool" }}[TOOL_RESULTS] {{ .ToolName }}: {{ .Content }} [/TOOL_RESULTS]` +
		`{{ else if .ToolCalls }}[TOOL_CALLS] [{{ range .ToolCalls }}{"name": "{{ .Function.Name }}", "arguments": {{ .Function.Arguments }}}{{ end }}]` +
		`{{ else }}{{ .Content }}{{ if not $last }} {{ end }}{{ end }}{{ end }}`

	// What it writes behind a prompt is the beginning of thinking, so a model that never closes the
	// tag thinks until it stops.
	thinkingTemplate = `{{ range .Messages }}{{ if eq .Role "assistant" }}{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ .Content }}` +
		"{{ else }}[INST] {{ .Content }} [/INST]{{ end }}{{ end }}{{ if and $.IsThinkSet $.Think }}<think>{{ end }}"
)

func recipes() []recipe {
	return []recipe{
		{gguftest.Config{Name: "tiny", Ending: gguftest.Stop}, plainTemplate},
		{gguftest.Config{Name: "tiny-endless", Ending: gguftest.Endless}, plainTemplate},
		{gguftest.Config{Name: "tiny-loop", Ending: gguftest.Loop}, plainTemplate},
		{gguftest.Config{Name: "tiny-tools", Ending: gguftest.Endless, Seed: 2}, toolsTemplate},
		{gguftest.Config{Name: "tiny-plain", Ending: gguftest.Endless, Seed: 3}, plainTemplate},
		{gguftest.Config{Name: "tiny-thinks", Ending: gguftest.Stop}, thinkingTemplate},
		{gguftest.Config{Name: Small, Ending: gguftest.Endless, Embedding: 512, Layers: 8, Heads: 8, KVHeads: 4, Hidden: 1536}, plainTemplate},
	}
}

// ready waits up to a minute for a server that is just starting.
func ready(ctx context.Context, rawURL string) error {
	base, err := url.Parse(rawURL)
	if err != nil {
		return err
	}
	return await(ctx, api.NewClient(base, &http.Client{}), time.Minute)
}

// CreateModels gives a server the models of these names, or all that there are if none is named.
// Those that it has already stay as they are. It waits up to a minute for a server that is just
// starting.
func CreateModels(ctx context.Context, rawURL string, names ...string) error {
	base, err := url.Parse(rawURL)
	if err != nil {
		return fmt.Errorf("create models: %w", err)
	}
	client := api.NewClient(base, &http.Client{})
	if err := await(ctx, client, time.Minute); err != nil {
		return fmt.Errorf("create models on %s: %w", rawURL, err)
	}
	list, err := client.List(ctx)
	if err != nil {
		return fmt.Errorf("create models on %s: %w", rawURL, err)
	}
	for _, r := range recipes() {
		there := slices.ContainsFunc(list.Models, func(m api.ListModelResponse) bool { return m.Name == r.Name+":latest" })
		if there || len(names) > 0 && !slices.Contains(names, r.Name) {
			continue
		}
		if err := create(ctx, client, r); err != nil {
			return fmt.Errorf("create model %s on %s: %w", r.Name, rawURL, err)
		}
	}
	return nil
}

// await waits until a server answers.
func await(ctx context.Context, client *api.Client, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	retry := time.NewTicker(50 * time.Millisecond)
	defer retry.Stop()
	for {
		err := client.Heartbeat(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w", err)
		}
	}
}

// create does what "ollama create" does.
func create(ctx context.Context, client *api.Client, recipe recipe) error {
	dir, err := os.MkdirTemp("", "gguftest")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, recipe.Name+".gguf")
	if err := gguftest.Write(path, recipe.Config); err != nil {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	digest := fmt.Sprintf("sha256:%x", sum.Sum(nil))
	if err := client.CreateBlob(ctx, digest, file); err != nil {
		return err
	}
	status := ""
	err = client.Create(ctx, &api.CreateRequest{
		Model:    recipe.Name,
		Files:    map[string]string{filepath.Base(path): digest},
		Template: recipe.template,
		Parameters: map[string]any{
			"stop":           []string{"[INST]"},
			"temperature":    1.0, // with this and the next three the chances are those of the recipe
			"top_k":          0,
			"top_p":          1.0,
			"repeat_penalty": 1.0,
			"num_thread":     1, // with more, threads that wait for each other on busy cores cost ten times what they give
		},
	}, func(p api.ProgressResponse) error { status = p.Status; return nil })
	if err == nil && status != "success" {
		err = errors.New("it ended after " + status)
	}
	return err
}
