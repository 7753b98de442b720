package local

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gleaner/internal/pipeline"
	"gleaner/internal/store"
)

func TestHowToStartOllamaFitsTheSystemAndTheAddress(t *testing.T) {
	for _, c := range []struct {
		system    string
		installed bool
		address   string
		want      string
	}{
		{"linux", true, "http://127.0.0.1:11434", "ollama serve"},
		{"linux", false, "http://127.0.0.1:11434", "curl -fsSL https://ollama.com/install.sh | sh    # unless it is installed; other ways to get it: https://ollama.com/download\nollama serve"},
		{"darwin", false, "http://localhost:11434", "brew install ollama    # unless"},
		{"windows", false, "http://[::1]:11434", "winget install Ollama.Ollama    # unless"},
		{"windows", true, "http://127.0.0.1:8000", `$env:OLLAMA_HOST="127.0.0.1:8000"; ollama serve`},
		{"darwin", true, "http://127.0.0.1:8000", "OLLAMA_HOST=127.0.0.1:8000 ollama serve"},
		{"linux", true, "http://gpu1:11434", "OLLAMA_HOST=0.0.0.0 ollama serve    # on that machine"},
	} {
		if got := startOllama(c.system, c.installed, c.address); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s at %s: %q, want %q", c.system, c.address, got, c.want)
		}
	}
}

func TestWithoutAServerBothWaysAreNamed(t *testing.T) {
	cause := errors.New("connection refused")
	for _, err := range []*NoServerError{{URL: "http://127.0.0.1:11434", Err: cause}, {URL: "http://127.0.0.1:11434", Simulated: true}} {
		for _, part := range []string{err.URL, "ollama serve", "--simulate"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("it does not name %s: %v", part, err)
			}
		}
	}
}

// A version before marks simulated answers neither in the run nor in its name.
func TestAnswersThatAnEarlierVersionSimulatedAreNotTakenOver(t *testing.T) {
	for gpu, ok := range map[string]bool{"simulated GPU 1": false, "127.0.0.1:11434": true} {
		kept, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "gleaner.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer kept.Close()
		run, _, err := kept.CreateRun(t.Context(), pipeline.Run{Name: "r", UID: "u", Items: 1, Generations: 1, Spec: pipeline.Spec{Model: "mistral", Samples: 1}})
		if err == nil {
			err = kept.PutItems(t.Context(), []pipeline.Item{{Run: "r", Input: []byte("{}")}})
		}
		if err == nil {
			err = kept.PutBatches(t.Context(), []pipeline.Batch{{Run: "r", Count: 1, State: pipeline.Planned, Round: 1}})
		}
		if err != nil {
			t.Fatal(err)
		}
		m := &machine{store: kept, run: run}
		if err := m.realSoFar(t.Context()); err != nil {
			t.Errorf("without answers: %v", err)
		}
		answer := pipeline.Results{Run: "r", UID: "u", Round: 1, GPU: gpu, Results: []pipeline.Result{{Text: "x", Finish: pipeline.FinishStop, CreatedAt: time.Now()}}}
		if _, err := kept.WriteResults(t.Context(), []pipeline.Results{answer}, time.Now()); err != nil {
			t.Fatal(err)
		}
		if err := m.realSoFar(t.Context()); (err == nil) != ok || !ok && !strings.Contains(err.Error(), "--run") {
			t.Errorf("with an answer of %s: %v", gpu, err)
		}
		m.run.Spec.Simulated = true
		if err := m.realSoFar(t.Context()); err != nil {
			t.Errorf("a simulated run: %v", err)
		}
	}
}
