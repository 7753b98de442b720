package local

import (
	"errors"
	"strings"
	"testing"
)

func TestHowToStartOllamaFitsTheSystemAndTheAddress(t *testing.T) {
	for _, c := range []struct {
		system    string
		installed bool
		address   string
		want      string
	}{
		{"linux", true, "http://127.0.0.1:11434", "ollama serve"},
		{"linux", false, "http://127.0.0.1:11434", "curl -fsSL https://ollama.com/install.sh | sh, unless it is installed, and then ollama serve"},
		{"darwin", false, "http://localhost:11434", "brew install ollama, unless it is installed, and then ollama serve"},
		{"windows", false, "http://[::1]:11434", "winget install Ollama.Ollama, unless it is installed, and then ollama serve"},
		{"windows", true, "http://127.0.0.1:8000", `$env:OLLAMA_HOST="127.0.0.1:8000"; ollama serve`},
		{"darwin", true, "http://127.0.0.1:8000", "OLLAMA_HOST=127.0.0.1:8000 ollama serve"},
		{"linux", true, "http://gpu1:11434", "OLLAMA_HOST=0.0.0.0 ollama serve, on that machine"},
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
