package ollama_test

import (
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"gleaner/internal/ollama"
)

// A server is asked about its model for each batch, and what a model can do never changes.
func TestWhatALoadedModelCanDoIsAskedOnceForEachDigest(t *testing.T) {
	var shown, broken atomic.Int64
	var digest atomic.Value
	digest.Store("a")
	broken.Store(1)
	client := serve(t, ollama.Config{}, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/version":
			_, _ = io.WriteString(w, `{"version":"0.17.4"}`)
		case "/api/tags":
			_, _ = io.WriteString(w, `{"models":[{"name":"m:latest","digest":"`+digest.Load().(string)+`"}]}`)
		case "/api/ps":
			_, _ = io.WriteString(w, `{"models":[{"name":"m:latest","digest":"`+digest.Load().(string)+`","context_length":2048}]}`)
		case "/api/show":
			if broken.Add(-1) >= 0 {
				w.WriteHeader(http.StatusInternalServerError)
				return
			}
			shown.Add(1)
			_, _ = io.WriteString(w, `{"capabilities":["completion","thinking"],"model_info":{"llama.context_length":8192}}`)
		}
	})
	got, err := client.Loaded(t.Context(), "m")
	if err != nil || got.SaysThinks || got.Context != 2048 {
		t.Errorf("a server that does not describe it: %+v, %v", got, err)
	}
	for range 3 {
		got, err = client.Loaded(t.Context(), "m")
		if err != nil || !got.SaysThinks || !got.Thinks || got.Trained != 8192 || got.Context != 2048 {
			t.Errorf("%+v, %v", got, err)
		}
	}
	digest.Store("b")
	if _, err := client.Loaded(t.Context(), "m"); err != nil || shown.Load() != 2 {
		t.Errorf("%d questions, %v", shown.Load(), err)
	}
}
