package local_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gleaner/internal/cli/processtest"
	"gleaner/internal/natsd"
	"gleaner/internal/natsd/natsdtest"
	"gleaner/internal/ollama/ollamatest"
	"gleaner/internal/ollamasim"
	"gleaner/internal/pipeline"
	"gleaner/internal/store"
	"gleaner/internal/store/storetest"
)

const programRows = 100

// The three programs on real parts: a MongoDB-compatible server, a real Ollama and a NATS server
// that is restarted in the middle, when two of the three consumers have been killed.
func TestThreeProgramsSurviveKilledConsumersAndARestartOfNATS(t *testing.T) {
	t.Parallel()
	uri, ollama := storetest.MongoURI(t), ollamatest.Host(t)
	p := build(t, uri)
	nats := natsd.Config{Dir: t.TempDir(), Port: -1}
	server, err := natsd.Start(nats)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { server.Shutdown() }()
	p.env = append(p.env, "NATS_URL="+server.URL())
	store, err := store.Open(t.Context(), uri)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()

	// The first consumer starts before the run exists.
	consumers := []*processtest.Process{p.start("consumer", "--run", "words", "--ollama", ollama, "--slots", "2", "--grace", "60s")}
	consumers[0].WaitFor("waiting for the run")
	p.run("producer", "load", "--run", "words", "--input", rows(t), "--field", "question", "--model", "tiny", "--num-predict", "1500")
	checkExportOfNothing(p)
	sink := p.start("sink", "serve", "--flush-every", "200ms")
	publish := p.start("producer", "publish", "--run", "words", "--follow", "--lease", "3s", "--json")
	for range 2 {
		consumers = append(consumers, p.start("consumer", "--run", "words", "--ollama", ollama, "--slots", "2", "--grace", "60s"))
	}

	waitForStored(t, store, programRows/4)
	for _, c := range consumers[1:] {
		if err := c.Cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	waitForStored(t, store, programRows/2)
	nats.Port = port(t, server.URL())
	server.Shutdown()
	if server, err = natsd.Start(nats); err != nil {
		t.Fatal(err)
	}

	if code := publish.Wait(); code != 0 {
		t.Fatalf("producer publish ended with %d:\n%s", code, publish.Said())
	}
	checkRun(t, store)
	var status struct {
		Stored int
		Stream *pipeline.StreamDepth
	}
	eventually(t, func() bool { // an ack that the restart swallowed costs a lease of the sink's
		if err := json.Unmarshal(p.run("producer", "status", "--run", "words", "--json"), &status); err != nil {
			t.Fatal(err)
		}
		return status.Stored == programRows && status.Stream != nil && *status.Stream == pipeline.StreamDepth{}
	}, func() string {
		return fmt.Sprintf("status is %+v, want %d stored and nothing on the streams", status, programRows)
	})
	out := filepath.Join(t.TempDir(), "out.jsonl")
	p.run("sink", "export", "--run", "words", "--out", out)
	if data, err := os.ReadFile(out); err != nil || bytes.Count(data, []byte("\n")) != programRows {
		t.Errorf("the export has %d lines (%v), want %d", bytes.Count(data, []byte("\n")), err, programRows)
	}
	for _, running := range []*processtest.Process{consumers[0], sink} {
		if err := running.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if code := running.Wait(); code != 0 {
			t.Errorf("%s ended with %d:\n%s", running.Cmd.Args, code, running.Said())
		}
	}
}

// checkExportOfNothing exports the run before it has any answer: rows without one are left out,
// or written as null.
func checkExportOfNothing(p *programs) {
	p.t.Helper()
	for want, args := range map[int][]string{0: nil, programRows: {"--all"}} {
		export := p.start("sink", append([]string{"export", "--run", "words", "--out", "-"}, args...)...)
		if code := export.Wait(); code != 3 {
			p.t.Errorf("the export of a run without answers ended with %d, want 3:\n%s", code, export.Said())
		}
		if got := bytes.Count(export.Out.Bytes(), []byte("\n")); got != want || bytes.Count(export.Out.Bytes(), []byte(`"response": null`)) != want {
			p.t.Errorf("export %v of a run without answers has %d lines, want %d", args, got, want)
		}
	}
}

// checkRun fails unless every generation has one complete result with its provenance.
func checkRun(t testing.TB, store store.Store) {
	t.Helper()
	seen := 0
	for answer, err := range store.Answers(t.Context(), "words") {
		if err != nil {
			t.Fatal(err)
		}
		r := answer.Result
		if r == nil {
			t.Fatalf("item %d has no result", answer.Item)
		}
		if r.Text == "" || r.Finish != "stop" || r.PromptTokens == 0 || r.OutputTokens == 0 || r.Consumer == "" || r.GPU == "" || r.CreatedAt.IsZero() || r.Round != 1 {
			t.Errorf("the result of item %d lacks something: %+v", answer.Item, r)
		}
		seen++
	}
	if seen != programRows {
		t.Errorf("%d results, want %d", seen, programRows)
	}
}

func rows(t testing.TB) string {
	t.Helper()
	return writeRows(t, programRows, func(i int) string {
		return fmt.Sprintf(`{"n": %d, "question": "What is the sum of %d and %d?"}`, i, i, 7*i)
	})
}

// writeRows writes a dataset of this many rows, of which each is a line of JSON, and returns its
// path.
func writeRows(t testing.TB, rows int, row func(i int) string) string {
	t.Helper()
	var b bytes.Buffer
	for i := range rows {
		b.WriteString(row(i) + "\n")
	}
	path := filepath.Join(t.TempDir(), "rows.jsonl")
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// goodOrBad returns a row with a question that says whether it is a bad one.
func goodOrBad(i int, bad bool) string {
	kind := "good"
	if bad {
		kind = "bad"
	}
	return fmt.Sprintf(`{"question": "A %s question, number %d?"}`, kind, i)
}

// badRows is the fault of a server that has no answer to bad questions.
func badRows() ollamasim.Fault {
	return ollamasim.Fault{Kind: ollamasim.Empty, Match: ollamasim.Prompts("bad")}
}

// withNATS returns the programs, to be run with a NATS server and a store of their own.
func withNATS(t testing.TB) *programs {
	t.Helper()
	p := build(t, "sqlite:"+filepath.Join(t.TempDir(), "gleaner.db"))
	p.env = append(p.env, "NATS_URL="+natsdtest.Start(t, natsd.Config{Port: -1}).URL())
	return p
}

func port(t testing.TB, url string) int {
	t.Helper()
	var n int
	if _, err := fmt.Sscanf(url[strings.LastIndex(url, ":")+1:], "%d", &n); err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	return n
}

func waitForStored(t testing.TB, store store.Store, want int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for {
		progress, err := store.Progress(ctx, "words", time.Now())
		if err != nil {
			t.Fatalf("waiting for %d results: %v", want, err)
		}
		if progress.Stored >= want {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("the run came to %d results, not to %d", progress.Stored, want)
		}
	}
}

// programs are the three programs, built as they are shipped.
type programs struct {
	t   testing.TB
	dir string
	uri string // of the store
	env []string
}

// run runs a program to its end and returns what it printed.
func (p *programs) run(name string, args ...string) []byte {
	p.t.Helper()
	return []byte(p.start(name, args...).Ends(0))
}

func (p *programs) start(name string, args ...string) *processtest.Process {
	p.t.Helper()
	cmd := exec.Command(filepath.Join(p.dir, name), args...)
	cmd.Env = p.env
	return processtest.Start(p.t, cmd)
}
