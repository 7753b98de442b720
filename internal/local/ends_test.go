//go:build unix

package local_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/natsd"
	"gleaner/internal/natsd/natsdtest"
	"gleaner/internal/ollamasim"
	"gleaner/internal/ollamasim/disguisetest"
	"gleaner/internal/pipeline"
)

// The job: rows of which some are answered with status 500 each time, some never come to their end,
// and some do not fit into the context.
const (
	jobRows     = 200
	jobContext  = 4096
	jobSaid     = "the tokenizer met a gremlin" // in the answer with status 500
	jobPatience = time.Minute                   // between the last thing that a server did for the run, and its end
)

// jobKind returns what is wrong with a row, or nothing.
func jobKind(row int) string {
	switch {
	case row%40 == 7:
		return "failing" // 5 of them
	case row%40 == 20:
		return "endless" // 5
	case row == 33 || row == 99 || row == 181:
		return "overlong"
	}
	return ""
}

// jobClasses is what becomes of each kind.
func jobClasses() map[string]pipeline.Class {
	return map[string]pipeline.Class{"failing": pipeline.Unanswered, "endless": pipeline.Truncated, "overlong": pipeline.BadItem}
}

// Every row comes to its end, and soon after the last one the run does: what can be answered is
// stored in order, the rest is in dead letters that say why, and a redrive by class makes exactly
// those.
func TestARunEndsWithWhatCanBeAnswered(t *testing.T) {
	t.Parallel()
	t.Run("three programs", func(t *testing.T) {
		t.Parallel()
		server := natsdtest.Start(t, natsd.Config{Port: -1})
		j := startJob(t, func(sim http.Handler) http.Handler { return sim })
		j.p.env = append(j.p.env, "MONGODB_URI=sqlite:"+filepath.Join(t.TempDir(), "gleaner.db"), "NATS_URL="+server.URL())
		j.p.run("producer", "load", "--run", "job", "--input", j.input, "--field", "question", "--simulate", "--model", "sim", "--num-predict", "1024")
		j.p.start("sink", "serve", "--flush-every", "100ms")
		publish := j.p.start("producer", "publish", "--run", "job", "--follow", "--max-failures", "off", "--lease", "5s")
		j.p.start("consumer", "--run", "job", "--ollama", j.url, "--slots", "8", "--stay")
		j.ends("publish", publish.Wait(), publish.Said)
		j.checkLetters()
		out := filepath.Join(t.TempDir(), "out.jsonl")
		export := j.p.start("sink", "export", "--run", "job", "--out", out)
		if code := export.Wait(); code != 3 {
			t.Errorf("the export ended with %d, want 3:\n%s", code, export.Said())
		}
		j.checkRows(out, nil)

		j.redrive()
		if code := j.p.start("producer", "publish", "--run", "job", "--follow", "--max-failures", "off", "--lease", "5s").Wait(); code != 3 {
			t.Errorf("after the redrive producer publish ended with %d, want 3", code)
		}
		j.checkRedriven()
	})
	t.Run("one machine", func(t *testing.T) {
		t.Parallel()
		j := startJob(t, disguisetest.Handler)
		data := t.TempDir()
		out := filepath.Join(data, "out.jsonl")
		run := func() (int, func() string) {
			p := j.p.start("gleaner", "run", "--run", "job", "--input", j.input, "--field", "question", "--model", "sim", "--num-predict", "1024",
				"--ollama", j.url, "--slots", "8", "--data", data, "--out", out)
			return p.Wait(), p.Said
		}
		code, said := run()
		j.ends("gleaner run", code, said)
		j.checkRows(out, nil)

		j.p.env = append(j.p.env, "MONGODB_URI=sqlite:"+filepath.Join(data, "gleaner.db"))
		func() { // its queue is a NATS server's as any other
			server, err := natsd.Start(natsd.Config{Dir: filepath.Join(data, "nats"), Port: -1})
			if err != nil {
				t.Fatal(err)
			}
			defer server.Shutdown()
			env := j.p.env
			j.p.env = append(slices.Clip(env), "NATS_URL="+server.URL())
			j.checkLetters()
			j.redrive()
			j.p.env = env
		}()
		if code, said := run(); code != 3 {
			t.Errorf("after the redrive gleaner run ended with %d, want 3:\n%s", code, said())
		}
		j.checkRedriven()
		j.checkRows(out, []string{"failing"})
	})
}

// A job is the rows, the server that has trouble with some of them, and what it was asked.
type job struct {
	t     *testing.T
	p     *programs
	sim   *ollamasim.Server
	url   string
	input string

	mu    sync.Mutex
	last  time.Time      // when a request for a row ended
	asked map[string]int // by prompt
}

func startJob(t *testing.T, front func(http.Handler) http.Handler) *job {
	t.Helper()
	j := &job{t: t, p: build(t, ""), asked: map[string]int{}}
	j.p.env = append(j.p.env, "OLLAMA_HOST=", "NATS_URL=")
	j.sim = ollamasim.New(ollamasim.Config{
		Models: []string{"sim"}, Slots: 8, Context: jobContext, TokensPerSecond: func(int) float64 { return 400 }, ChunkEvery: 20 * time.Millisecond, Watch: j.watch,
		Lengths: func(prompt string, seed int) int {
			if strings.Contains(prompt, "endless") {
				return 1 << 20
			}
			return 20
		},
	})
	t.Cleanup(j.sim.Close)
	j.sim.Inject(ollamasim.Fault{Kind: ollamasim.Fail, Text: jobSaid, Match: ollamasim.Prompts("failing")})
	j.sim.Inject(ollamasim.Fault{Kind: ollamasim.Endless, Match: ollamasim.Prompts("endless question, number 2")}) // ignores num_predict
	server := httptest.NewServer(front(j.sim))
	t.Cleanup(server.Close)
	j.url = server.URL
	j.input = writeRows(t, jobRows, func(i int) string { return fmt.Sprintf(`{"n": %d, "question": %q}`, i, jobPrompt(i)) })
	return j
}

func jobPrompt(row int) string {
	kind := jobKind(row)
	prompt := fmt.Sprintf("A row with a %s question, number %d?", kind, row)
	if kind == "overlong" {
		prompt += strings.Repeat(" a", jobContext)
	}
	return prompt
}

// watch notes the requests for rows.
func (j *job) watch(x ollamasim.Exchange) {
	if !strings.HasPrefix(x.Prompt, "A row ") {
		return // a canary
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.asked[x.Prompt]++
	j.last = time.Now()
}

// ends checks how the run ended, and that it did so soon after the last request for a row.
func (j *job) ends(what string, code int, said func() string) {
	j.t.Helper()
	j.mu.Lock()
	waited := time.Since(j.last)
	j.mu.Unlock()
	if code != 3 {
		j.t.Fatalf("%s ended with %d, want 3:\n%s", what, code, said())
	}
	if waited > jobPatience {
		j.t.Errorf("%s ended %s after the last request, at most %s are right:\n%s", what, waited, jobPatience, said())
	}
	for row := range jobRows {
		if prompt := jobPrompt(row); jobKind(row) == "" && j.asked[prompt] != 1 {
			j.t.Errorf("row %d was asked for %d times, want once", row, j.asked[prompt])
		}
	}
}

// checkLetters fails unless each row that cannot be answered is in a dead letter of its class, and
// no other row is.
func (j *job) checkLetters() {
	j.t.Helper()
	got, want := map[int]pipeline.Class{}, map[int]pipeline.Class{}
	for row := range jobRows {
		if kind := jobKind(row); kind != "" {
			want[row] = jobClasses()[kind]
		}
	}
	for lines := json.NewDecoder(bytes.NewReader(j.p.run("producer", "dead", "list", "--run", "job", "--each", "--json"))); lines.More(); {
		var letter pipeline.DeadLetter
		if err := lines.Decode(&letter); err != nil {
			j.t.Fatal(err)
		}
		for _, f := range letter.Failures {
			got[f.Item] = f.Class
			for kind, word := range map[string]string{"failing": jobSaid, "endless": "tokens", "overlong": "context"} {
				if jobKind(f.Item) == kind && !strings.Contains(f.Message, word) {
					j.t.Errorf("the letter of row %d, which is %s, says %q, and not %q", f.Item, kind, f.Message, word)
				}
			}
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		j.t.Errorf("the dead letters (-want +got):\n%s", d)
	}
}

// checkRows fails unless the file has the rows that can be answered, in order, and those of some
// kinds.
func (j *job) checkRows(path string, kinds []string) {
	j.t.Helper()
	var want []int
	for row := range jobRows {
		if kind := jobKind(row); kind == "" || slices.Contains(kinds, kind) {
			want = append(want, row)
		}
	}
	f, err := os.Open(path)
	if err != nil {
		j.t.Fatal(err)
	}
	defer f.Close()
	var got []int
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var line struct {
			N        int
			Response string
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil || line.Response == "" {
			j.t.Errorf("line %s: %v", lines.Bytes(), err)
		}
		got = append(got, line.N)
	}
	if d := cmp.Diff(want, got); d != "" {
		j.t.Errorf("the rows of the export (-want +got):\n%s", d)
	}
}

// redrive mends the server and gives the rows that were answered with 500 another round.
func (j *job) redrive() {
	j.t.Helper()
	j.sim.ClearFaults()
	j.mu.Lock()
	clear(j.asked)
	j.mu.Unlock()
	var report redriveReport
	if err := json.Unmarshal(j.p.run("producer", "dead", "redrive", "--run", "job", "--class", string(pipeline.Unanswered), "--json"), &report); err != nil {
		j.t.Fatal(err)
	}
	if report.Generations != 5 || report.Redriven != 5 {
		j.t.Errorf("the redrive says %+v, want 5", report)
	}
}

// checkRedriven fails unless exactly the redriven rows were asked for, once each.
func (j *job) checkRedriven() {
	j.t.Helper()
	want := map[string]int{}
	for row := range jobRows {
		if jobKind(row) == "failing" {
			want[jobPrompt(row)] = 1
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if d := cmp.Diff(want, j.asked); d != "" {
		j.t.Errorf("asked for after the redrive (-want +got):\n%s", d)
	}
}
