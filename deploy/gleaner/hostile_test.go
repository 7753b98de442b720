package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"gleaner/internal/cli"
	"gleaner/internal/natsd"
	"gleaner/internal/natsd/natsdtest"
	"gleaner/internal/pipeline"
	"gleaner/internal/store"
	"gleaner/internal/stream"
)

// hostile is what a terminal, a log viewer or an editor could take for commands: escape sequences
// of both kinds, a bell, a return to the line's start, and text in the other direction.
const hostile = "a\x1b[2J\x1b]0;owned\x07\u009b31m\r\x7f\u202egnp.exe\u2069\u2028z"

// commanding reports whether a character is a command, by tables of its own.
func commanding(r rune) bool {
	switch {
	case r == '\n' || r == '\t':
		return false
	case r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0x2028, r == 0x2029, r == 0x200e, r == 0x200f, r == 0x061c:
		return true
	}
	return unicode.IsControl(r)
}

// What others say goes through every command, and none of it commands the terminal.
func TestNothingThatIsShownCommandsTheTerminal(t *testing.T) {
	w := newHostileWorld(t)
	ok, usage, failed, incomplete := []int{cli.Done}, []int{cli.WrongUse}, []int{cli.Failed}, []int{cli.DeadLetters}
	for _, c := range []struct {
		codes   []int
		command []string
	}{
		{ok, []string{"status"}},
		{ok, []string{"status", "--json"}},
		{ok, []string{"status", "--run", "r"}},
		{ok, []string{"status", "--run", "r", "--json"}},
		{ok, []string{"show", "--run", "r"}},
		{ok, []string{"show", "--run", "r", "--json"}},
		{ok, []string{"dead", "list"}},
		{ok, []string{"dead", "list", "--json"}},
		{ok, []string{"dead", "show"}},
		{ok, []string{"dead", "show", "--json"}},
		{usage, []string{"dead", "list", "--class", hostile}},
		{usage, []string{"dead", "list", "--message", "(" + hostile}},
		{ok, []string{"dead", "redrive", "--dry-run", "--json"}},
		{ok, []string{"dead", "drop", "--run", "r", "--dry-run"}},
		{ok, []string{"dead", "give-up", "--run", "r"}},
		{ok, []string{"audit", "--run", "r"}},
		{ok, []string{"audit", "--run", "r", "--json"}},
		{ok, []string{"plan", "--run", "r"}},
		{ok, []string{"plan", "--run", "r", "--json"}},
		{ok, []string{"plan", "--input", w.input, "--field", hostile, "--model", "m"}},
		{incomplete, []string{"export", "--run", "r", "--out", filepath.Join(w.dir, hostile+".jsonl")}},
		{incomplete, []string{"export", "--run", "r", "--json", "--with-failed", "--out", filepath.Join(w.dir, "x"+hostile+".json")}},
		{ok, []string{"load", "--dry-run", "--run", "s", "--input", w.input, "--field", hostile, "--model", "m" + hostile}},
		{ok, []string{"load", "--dry-run", "--json", "--run", "s", "--input", w.input, "--field", hostile, "--model", "m" + hostile}},
		{ok, []string{"preview", "--input", w.input, "--field", hostile, "--model", "m" + hostile, "--ollama", "http://127.0.0.1:1"}},
		{ok, []string{"preview", "--input", w.input, "--field", hostile, "--model", "m", "--ollama", w.model}},
		{ok, []string{"preview", "--json", "--input", w.input, "--field", hostile, "--model", "m", "--ollama", w.model}},
		{incomplete, []string{"preview", "1", "--input", w.input, "--field", hostile, "--model", "broken", "--ollama", w.model}},
		{ok, []string{"pin", "--run", "r", "any"}},
		{ok, []string{"pin", "--run", "r", "--json", "any"}},
		{usage, []string{"pin", "--run", "r", hostile}},
		{ok, []string{"pause", "--run", "r"}},
		{ok, []string{"resume", "--run", "r", "--json"}},
		{failed, []string{"load", "--run", "s", "--input", w.broken, "--field", "q", "--model", "m"}},
		{failed, []string{"load", "--run", "s", "--input", hostile, "--field", "q", "--model", "m"}},
		{usage, []string{"load", "--run", "s", "--input", w.input, "--field", "no" + hostile, "--model", "m"}},
		{usage, []string{"load", "--run", hostile, "--input", w.input, "--field", hostile, "--model", "m"}},
		{usage, []string{"--" + hostile}},
		{usage, []string{hostile}},
		{failed, []string{"work", "--ollama", "http://127.0.0.1:1", "--run", "r", "--first-token", "1s"}},
		{ok, []string{"cancel", "--run", "r", "--yes", "--json"}},
		{ok, []string{"delete", "--run", "r", "--yes"}},
	} {
		shown, code := w.gleaner(t, c.command...)
		if !slices.Contains(c.codes, code) {
			t.Errorf("%q ends with %d, want %d:\n%q", c.command, code, c.codes, shown)
		}
		for line := range strings.Lines(shown) {
			if strings.ContainsFunc(line, commanding) {
				t.Errorf("%q prints %q", c.command, line)
			}
			if slices.Contains(c.command, "--json") && strings.HasPrefix(line, "{") && !json.Valid([]byte(line)) {
				t.Errorf("%q prints no JSON: %q", c.command, line)
			}
		}
	}
	if !strings.Contains(w.shown.String(), "gnp.exe") {
		t.Error("nothing of what is hostile was shown: this test shows nothing")
	}
}

// A hostileWorld is a run that has three answers and a dead letter, all by somebody who wants to
// command the operator's terminal.
type hostileWorld struct {
	dir, input, broken string
	model              string // the URL of a model server that is hostile, too
	shown              bytes.Buffer
}

func newHostileWorld(t *testing.T) *hostileWorld {
	ctx, dir := t.Context(), t.TempDir()
	nats := natsdtest.Start(t, natsd.Config{Dir: filepath.Join(dir, "nats"), Port: -1})
	w := &hostileWorld{dir: dir, model: hostileModel(t), input: filepath.Join(dir, "in"+hostile+".jsonl"), broken: filepath.Join(dir, "broken"+hostile)}
	uri := "sqlite:" + filepath.Join(dir, "store.db")
	t.Setenv("MONGODB_URI", uri)
	t.Setenv("NATS_URL", nats.URL())
	var rows []byte
	for range 4 {
		row, err := json.Marshal(map[string]string{hostile: hostile})
		must(t, err)
		rows = append(append(rows, row...), '\n')
	}
	must(t, os.WriteFile(w.input, rows, 0o600))
	must(t, os.WriteFile(w.broken, []byte(hostile), 0o600))
	for _, command := range [][]string{
		{"load", "--run", "r", "--input", w.input, "--field", hostile, "--model", "m" + hostile, "--batch", "1"},
		{"publish", "--run", "r"},
	} {
		if shown, code := w.gleaner(t, command...); code != cli.Done {
			t.Fatalf("%q ends with %d:\n%s", command, code, shown)
		}
	}
	books, err := store.Open(ctx, uri)
	must(t, err)
	defer books.Close()
	run, err := books.Run(ctx, "r")
	must(t, err)
	conn, err := stream.Connect(ctx, stream.Config{URL: nats.URL()})
	must(t, err)
	defer conn.Close()
	for i := range 3 {
		must(t, conn.PublishResults(ctx, pipeline.Results{Run: "r", UID: run.UID, Batch: i, Round: 1, Token: run.Key.Token(run.UID, i, 1), Consumer: hostile, GPU: hostile, Engine: pipeline.Ollama, Digest: hostile,
			Results: []pipeline.Result{{Item: i, Text: hostile, Finish: "stop", CreatedAt: time.Now().UTC()}}}))
	}
	must(t, conn.PublishDeadLetter(ctx, pipeline.DeadLetter{Run: "r", UID: run.UID, Batch: 3, Round: 1, Token: run.Key.Token(run.UID, 3, 1), Class: pipeline.Degenerate, Message: hostile, Consumer: hostile, GPU: hostile, Model: hostile, FailedAt: time.Now().UTC(),
		Failures: []pipeline.GenerationFailure{{Generation: pipeline.Generation{Item: 3, Messages: pipeline.User(hostile)}, Class: pipeline.Degenerate, Message: hostile, Text: hostile, Digest: hostile, Judge: pipeline.LaneID{Consumer: hostile, GPU: hostile}}}}))
	must(t, conn.PutPresence(ctx, pipeline.Presence{ID: "01HOSTILE", Run: "r", Host: hostile, Version: hostile, ServerVersion: hostile, Model: hostile, Digest: hostile, Seen: time.Now(),
		GPUs: []pipeline.GPUStatus{{Name: hostile, State: pipeline.GPUHeld, Detail: hostile + strings.Repeat("long ", 20)}}}))
	w.store(t, books)
	return w
}

// hostileModel returns the URL of a model server whose answers command the terminal, and whose
// model "broken" has none.
func hostileModel(t *testing.T) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var asked struct {
			Model    string
			Messages []json.RawMessage
		}
		_ = json.NewDecoder(r.Body).Decode(&asked) // a question without a body asks for no model
		reason := "stop"
		if len(asked.Messages) == 0 {
			reason = "load"
		}
		answer := map[string]any{"model": asked.Model, "done": true, "done_reason": reason, "prompt_eval_count": 50, "eval_count": 3,
			"message": map[string]string{"role": "assistant", "content": hostile, "thinking": hostile}}
		switch r.URL.Path {
		case "/api/version":
			answer = map[string]any{"version": "0.17.4"}
		case "/api/tags", "/api/ps":
			answer = map[string]any{"models": []map[string]any{{"name": "m:latest", "model": "m:latest", "digest": strings.Repeat("a", 64)}, {"name": "broken:latest", "model": "broken:latest", "digest": strings.Repeat("b", 64)}}}
		case "/api/show":
			answer = map[string]any{"capabilities": []string{"completion", "thinking"}}
		default:
			if asked.Model == "broken" && reason == "stop" {
				http.Error(w, `{"error":"`+"bad \u001b[2J\u202e"+`"}`, http.StatusBadRequest)
				return
			}
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// store runs a sink until it has stored what came.
func (w *hostileWorld) store(t *testing.T, books store.Store) {
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	ended := make(chan string)
	go func() {
		shown, _ := w.run(ctx, "sink", "--log-format", "json", "--log-level", "debug")
		ended <- shown
	}()
	for {
		done, err := books.Batches(ctx, "r", pipeline.Done, 0, 10)
		must(t, err)
		dead, err := books.Batches(ctx, "r", pipeline.Dead, 0, 10)
		must(t, err)
		if len(done) == 3 && len(dead) == 1 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	stop()
	if shown := <-ended; strings.ContainsFunc(shown, commanding) {
		t.Errorf("the sink logs %q", shown)
	}
}

// gleaner runs a command and returns all that it prints, and its exit code.
func (w *hostileWorld) gleaner(t *testing.T, args ...string) (shown string, code int) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	shown, code = w.run(ctx, args...)
	w.shown.WriteString(shown)
	return shown, code
}

func (w *hostileWorld) run(ctx context.Context, args ...string) (shown string, code int) {
	var out, talk bytes.Buffer
	code = cli.Run(ctx, "gleaner", description, &commands{}, args, &cli.Terminal{In: strings.NewReader(""), Out: &out, Err: &talk})
	return out.String() + talk.String(), code
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
