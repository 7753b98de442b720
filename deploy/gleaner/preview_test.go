package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/cli"
	"gleaner/internal/cli/processtest"
	"gleaner/internal/ollama/ollamatest"
	"gleaner/internal/ollamasim"
	"gleaner/internal/ollamasim/disguisetest"
)

// previewRows writes rows of each kind, and returns the path.
func previewRows(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rows.jsonl")
	rows := `{"id": 1, "q": "How much is 1+1?", "how": "Be brief."}
{"id": 2, "q": "How much is 2+2?", "how": ""}
{"id": 3, "q": "What does <b> mean & why?\nSay \"it\".", "how": "Be kind."}
`
	must(t, os.WriteFile(path, []byte(rows), 0o600))
	return path
}

// A recorder keeps what a model server is asked, and passes it on.
type recorder struct {
	first sync.Once
	came  chan struct{} // closed when the first question has come; nil: no one waits for that
	mu    sync.Mutex
	asked []string
}

func (r *recorder) record(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, _ := io.ReadAll(request.Body) // a body that broke off is shown by what the server says
		if request.URL.Path == "/api/chat" && !bytes.Contains(body, []byte(`"messages":null`)) && !bytes.Contains(body, []byte(`"messages":[]`)) {
			r.mu.Lock()
			r.asked = append(r.asked, string(body))
			r.mu.Unlock()
			if r.came != nil {
				r.first.Do(func() { close(r.came) })
			}
		}
		request.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, request)
	})
}

func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	asked := r.asked
	r.asked = nil
	slices.Sort(asked)
	return asked
}

// What a preview sends is what the run sends, byte for byte: messages, options, schema and seed.
func TestAPreviewSendsWhatTheRunSends(t *testing.T) {
	sim := ollamasim.New(ollamasim.Config{Models: []string{"m"}, Instant: true, Lengths: func(string, int) int { return 20 }})
	t.Cleanup(sim.Close)
	var recorded recorder
	server := httptest.NewServer(recorded.record(disguisetest.Handler(sim)))
	t.Cleanup(server.Close)
	input := previewRows(t)
	for name, flags := range map[string][]string{
		"a template":        {"--prompt", "Solve: {{ q }}", "--system", "{{ how }}", "--prefill", "Well", "--temperature", "0.3", "--stop", "END", "--seed", "7"},
		"a column":          {"--field", "q", "--think", "off", "--num-predict", "99"},
		"with its own name": {"--field", "q", "--run", "named"},
	} {
		t.Run(name, func(t *testing.T) {
			flags = append([]string{"--input", input, "--model", "m", "--ollama", server.URL}, flags...)
			shown := program(t, append([]string{"preview", "--json"}, flags...)...)
			said, err := shown.Output()
			if err != nil {
				t.Fatalf("%v\n%s", err, shown.Stderr)
			}
			previewed := recorded.take()
			if run := program(t, append([]string{"run", "--data", filepath.Join(t.TempDir(), "data")}, flags...)...); run.Run() != nil {
				t.Fatalf("the run: %s", run.Stderr)
			}
			if diff := cmp.Diff(recorded.take(), previewed); diff != "" || len(previewed) != 3 {
				t.Errorf("a preview sends something else than the run (-run +preview):\n%s", diff)
			}
			var rows []struct {
				Request struct {
					Seed     int
					Messages []struct{ Role, Content string }
				}
			}
			must(t, json.Unmarshal(said, &rows))
			for _, row := range rows { // what is shown is what is sent
				sent := slices.IndexFunc(previewed, func(body string) bool {
					var b struct {
						Options  struct{ Seed int }
						Messages []struct{ Role, Content string }
					}
					return json.Unmarshal([]byte(body), &b) == nil && b.Options.Seed == row.Request.Seed && slices.Equal(b.Messages, row.Request.Messages)
				})
				if sent < 0 {
					t.Errorf("it shows %+v, and sends\n%s", row.Request, strings.Join(previewed, "\n"))
				}
			}
		})
	}
}

func TestAnInterruptedPreviewEndsAndLeavesNothing(t *testing.T) {
	sim := ollamasim.New(ollamasim.Config{Models: []string{"m-endless"}, Speed: 0.01})
	recorded := recorder{came: make(chan struct{})}
	server := httptest.NewServer(recorded.record(disguisetest.Handler(sim)))
	t.Cleanup(server.Close)
	t.Cleanup(sim.Close) // first, since it ends what is being answered
	dir := t.TempDir()
	cmd := program(t, "preview", "--input", previewRows(t), "--field", "q", "--model", "m-endless", "--ollama", server.URL)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "TMPDIR="+dir)
	preview := processtest.Start(t, cmd)
	<-recorded.came
	must(t, cmd.Process.Signal(os.Interrupt))
	if code := preview.Wait(); code != cli.Interrupted || !strings.Contains(preview.Said(), "interrupted; nothing was written") {
		t.Errorf("it ends with %d:\n%s", code, preview.Said())
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
}

// A real server's answers, thinking and failures are shown.
func TestAPreviewShowsWhatARealServerAnswers(t *testing.T) {
	url := ollamatest.Host(t)
	input := previewRows(t)
	type shown struct {
		Model  string
		Answer *struct {
			Text                      string
			Seconds                   float64
			InputTokens, OutputTokens int
			Failure                   *struct{ Class, Brief, Again string }
		}
	}
	preview := func(code int, flags ...string) (rows []shown) {
		t.Helper()
		cmd := program(t, append([]string{"preview", "2", "--json", "--input", input, "--field", "q", "--ollama", url}, flags...)...)
		said, err := cmd.Output()
		if got := cmd.ProcessState.ExitCode(); got != code {
			t.Fatalf("%v ends with %d, want %d: %v\n%s", flags, got, code, err, cmd.Stderr)
		}
		must(t, json.Unmarshal([]byte(strings.NewReplacer("input_tokens", "InputTokens", "output_tokens", "OutputTokens").Replace(string(said))), &rows))
		if len(rows) != 2 {
			t.Fatalf("%v: %d rows", flags, len(rows))
		}
		return rows
	}
	for _, row := range preview(0, "--model", "tiny") {
		if a := row.Answer; a == nil || a.Failure != nil || a.Text == "" || a.Seconds <= 0 || a.InputTokens == 0 || a.OutputTokens == 0 {
			t.Errorf("tiny answers %+v", a)
		}
	}
	for _, row := range preview(cli.DeadLetters, "--model", "tiny-endless", "--num-predict", "16") {
		if a := row.Answer; a == nil || a.Failure == nil || a.Failure.Class != "truncated" || a.Failure.Brief != "cut off" || a.Text == "" || a.OutputTokens != 16 {
			t.Errorf("tiny-endless answers %+v", a)
		}
	}
	for _, row := range preview(0, "--model", "not-there") {
		if row.Answer != nil || row.Model != "not-there" {
			t.Errorf("a model that is not there answers %+v", row)
		}
	}
}
