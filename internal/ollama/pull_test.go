package ollama_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"gleaner/internal/ollama"
	"gleaner/internal/pipeline"
)

func TestAPullCountsOnlyIfTheServerSaysSuccess(t *testing.T) {
	const begun = `{"status":"pulling manifest"}` + "\n"
	for _, test := range []struct {
		body  string
		class pipeline.Class // empty: no error
		is    error
		says  string
	}{
		{begun + `{"status":"success"}` + "\n", "", nil, ""},
		{begun, pipeline.Retryable, nil, `"pulling manifest" without success`},
		{begun + says("pull model manifest: file does not exist"), pipeline.Fatal, ollama.ErrNoModel, "registry"},
		{begun + says(`pull model manifest: Get "https://registry": dial tcp: no such host`), pipeline.Retryable, nil, "no such host"},
		{begun + says("max retries exceeded: EOF"), pipeline.Retryable, nil, "max retries"},
		{"", pipeline.Retryable, nil, "without success"},
	} {
		err := serve(t, ollama.Config{}, status(200, test.body)).Pull(t.Context(), "m", nil)
		switch {
		case test.class == "":
			if err != nil {
				t.Errorf("%s: %v", test.body, err)
			}
		case err == nil || pipeline.ClassOf(err) != test.class || test.is != nil && !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.says):
			t.Errorf("%s: class %s, want %s and %q: %v", test.body, pipeline.ClassOf(err), test.class, test.says, err)
		}
	}
}

func TestAPullThatIsCancelledIsInterrupted(t *testing.T) {
	client := serve(t, ollama.Config{}, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"status":"pulling manifest"}`+"\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	err := client.Pull(ctx, "m", func(string, int64, int64) { cancel() })
	if err == nil || pipeline.ClassOf(err) != pipeline.Interrupted {
		t.Errorf("class %s: %v", pipeline.ClassOf(err), err)
	}
}

func TestAModelIsLoadedOnlyIfTheServerSaysSo(t *testing.T) {
	loaded := `{"model":"m","done":true,"done_reason":"load"}`
	if err := serve(t, ollama.Config{}, status(200, loaded)).WarmUp(t.Context(), "m"); err != nil {
		t.Error(err)
	}
	for _, body := range []string{`{}`, `{"done":true,"done_reason":"unload"}`, `<html>`} {
		err := serve(t, ollama.Config{}, status(200, body)).WarmUp(t.Context(), "m")
		if err == nil || pipeline.ClassOf(err) != pipeline.Retryable {
			t.Errorf("%s: class %s: %v", body, pipeline.ClassOf(err), err)
		}
	}
}

func TestWhatIsNoOllamaIsToldSo(t *testing.T) {
	for body, code := range map[string]int{"404 page not found": 404, `{"hello":"world"}`: 200, "<html>": 200} {
		err := serve(t, ollama.Config{}, status(code, body)).Ping(t.Context())
		if err == nil || !strings.Contains(err.Error(), "an Ollama server") {
			t.Errorf("status %d, %s: %v", code, body, err)
		}
	}
}

func TestAServerWithoutModelsSaysWhatToPull(t *testing.T) {
	client := serve(t, ollama.Config{}, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, map[string]string{"/api/version": `{"version":"0.17.4"}`, "/api/tags": `{"models":[]}`}[r.URL.Path])
	})
	_, err := client.Describe(t.Context(), "mistral")
	if pipeline.ClassOf(err) != pipeline.Fatal || !strings.Contains(err.Error(), "no models at all") || !strings.Contains(err.Error(), "ollama pull mistral") {
		t.Errorf("class %s: %v", pipeline.ClassOf(err), err)
	}
}

func TestTheContextIsReadFromTheDescriptionWhereNothingIsLoaded(t *testing.T) {
	for show, want := range map[string]pipeline.ModelInfo{
		`{"parameters":"stop \"x\"\nnum_ctx                        8192","model_info":{"llama.context_length":32768}}`: {Context: 8192, Trained: 32768, Template: "ce303cff9eb2"},
		`{"model_info":{"general.architecture":"llama","llama.context_length":32768}}`:                                 {Context: 32768, Trained: 32768},
		`{}`: {},
	} {
		client := serve(t, ollama.Config{}, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, map[string]string{
				"/api/version": `{"version":"0.17.4"}`,
				"/api/tags":    `{"models":[{"name":"Tiny:latest","digest":"abc"}]}`,
				"/api/ps":      `{"models":[{"name":"other:latest","context_length":1}]}`,
				"/api/show":    show,
			}[r.URL.Path])
		})
		got, err := client.Describe(t.Context(), "tiny")
		want.Name, want.Engine, want.Digest, want.ServerVersion = "Tiny:latest", pipeline.Ollama, "abc", "0.17.4"
		got.Note = "" // of the other model
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", show, got, err)
		}
	}
}
