package local_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"gleaner/internal/cli/processtest"
	"gleaner/internal/ollamasim"
	"gleaner/internal/ollamasim/simtest"
	"gleaner/internal/pipeline"
	"gleaner/internal/store"
)

const (
	deadRows = 100
	badEvery = 5 // each fifth row cannot be generated until a switch is turned
)

// What cannot be generated becomes dead letters that are listed, audited, redriven by class and
// done.
func TestDeadLettersAreRedrivenAndDone(t *testing.T) {
	ollama, url := simtest.Start(t, ollamasim.Config{Models: []string{"sim"}, Instant: true}, badRows())
	p := withNATS(t)
	input := writeRows(t, deadRows, func(i int) string { return goodOrBad(i, i%badEvery == 0) })
	p.run("producer", "load", "--run", "dead", "--input", input, "--field", "question", "--simulate", "--model", "sim", "--samples", "2")
	sink := p.start("sink", "serve", "--flush-every", "100ms")
	publish := p.start("producer", "publish", "--run", "dead", "--follow", "--lease", "5s")
	consumer := p.start("consumer", "--run", "dead", "--ollama", url, "--slots", "4")
	if code := publish.Wait(); code != 3 {
		t.Fatalf("producer publish ended with %d, want 3:\n%s", code, publish.Said())
	}

	const bad = 2 * deadRows / badEvery
	letters := listLetters(p)
	if n := failuresIn(letters); n != bad {
		t.Errorf("%d generations in dead letters, want %d", n, bad)
	}
	checkAudit(p, bad)
	ollama.ClearFaults()
	redriveConcurrently(p, bad)
	if code := p.start("producer", "publish", "--run", "dead", "--follow", "--lease", "2s").Wait(); code != 0 {
		t.Errorf("after the redrive producer publish ended with %d, want 0", code)
	}
	if letters := listLetters(p); len(letters) != 0 {
		t.Errorf("%d dead letters are left: %+v", len(letters), letters[0])
	}
	checkAudit(p, 0)
	for _, running := range []*processtest.Process{consumer, sink} {
		if err := running.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if code := running.Wait(); code != 0 {
			t.Errorf("%s ended with %d:\n%s", running.Cmd.Args, code, running.Said())
		}
	}
}

// redriveConcurrently redrives this number of letters of one generation each: some of them by a
// redrive that is killed and by one that is interrupted, and the rest by two at once.
func redriveConcurrently(p *programs, letters int) {
	p.t.Helper()
	store, err := store.Open(p.t.Context(), p.uri)
	if err != nil {
		p.t.Fatal(err)
	}
	defer store.Close()
	redriven := func() (n int) {
		p.t.Helper()
		rounds := map[int]int{} // a batch may go from one state to the next between the two reads
		for _, state := range []pipeline.BatchState{pipeline.Queued, pipeline.Done} {
			batches, err := store.Batches(p.t.Context(), "dead", state, 0, 10_000)
			if err != nil {
				p.t.Fatal(err)
			}
			for _, b := range batches {
				rounds[b.Index] = b.Round - 1
			}
		}
		for _, more := range rounds {
			n += more
		}
		return n
	}
	waitForRedriven := func(want int) {
		p.t.Helper()
		eventually(p.t, func() bool { return redriven() >= want }, func() string { return fmt.Sprintf("%d batches are redriven, not %d", redriven(), want) })
	}
	redrive := func(args ...string) *processtest.Process {
		return p.start("producer", append([]string{"dead", "redrive", "--run", "dead", "--class", "degenerate", "--yes", "--json"}, args...)...)
	}
	report := func(running *processtest.Process, code int) (r redriveReport) {
		p.t.Helper()
		if got := running.Wait(); got != code {
			p.t.Errorf("%v ended with %d, want %d:\n%s", running.Cmd.Args, got, code, running.Said())
		}
		if err := json.Unmarshal(running.Out.Bytes(), &r); err != nil {
			p.t.Errorf("%v: %v: %s", running.Cmd.Args, err, running.Out.Bytes())
		}
		return r
	}

	if r := report(redrive("--dry-run"), 0); r.Redriven != letters || r.Generations != letters || redriven() != 0 {
		p.t.Errorf("a dry run of %d letters redrove %d and says %+v", letters, redriven(), r)
	}
	if r := report(redrive("--limit", "3"), 0); r.Redriven != 3 {
		p.t.Errorf("a redrive of 3 letters says %+v", r)
	}
	killed := redrive("--rate", "4")
	waitForRedriven(6)
	if err := killed.Cmd.Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	killed.Wait()
	before := redriven()
	interrupted := redrive("--rate", "4")
	waitForRedriven(before + 3)
	if err := interrupted.Cmd.Process.Signal(syscall.SIGINT); err != nil {
		p.t.Fatal(err)
	}
	if r := report(interrupted, 130); r.Redriven < 3 || r.Redriven != redriven()-before {
		p.t.Errorf("the interrupted redrive says %+v, %d batches are redriven", r, redriven()-before)
	}
	if said := interrupted.Said(); !strings.Contains(said, "goes on where it stopped") {
		p.t.Errorf("the interrupted redrive says %q", said)
	}
	before = redriven()
	first, second := redrive(), redrive()
	a, b := report(first, 0), report(second, 0)
	if a.Redriven+b.Redriven != redriven()-before {
		p.t.Errorf("two redrives say %+v and %+v, %d batches are redriven", a, b, redriven()-before)
	}
	if n := redriven(); n != letters {
		p.t.Errorf("%d batches are redriven, want %d, each once", n, letters)
	}
	p.t.Logf("at once: %+v and %+v", a, b)
}

// A redriveReport is what producer dead redrive --json prints.
type redriveReport struct{ Chosen, Redriven, Generations, Refused, Stale, Skipped int }

// A letter is what the tests read of a dead letter.
type letter struct {
	Class    string
	Failures []struct{ Prompt, Class, Message string }
}

func listLetters(p *programs) []letter {
	p.t.Helper()
	var letters []letter
	for decoder := json.NewDecoder(bytes.NewReader(p.run("producer", "dead", "list", "--run", "dead", "--each", "--json"))); decoder.More(); {
		var l letter
		if err := decoder.Decode(&l); err != nil {
			p.t.Fatal(err)
		}
		letters = append(letters, l)
	}
	return letters
}

func failuresIn(letters []letter) int {
	n := 0
	for _, l := range letters {
		n += len(l.Failures)
	}
	return n
}

// checkAudit fails unless everything is accounted for, with this number of dead generations.
func checkAudit(p *programs, dead int) {
	p.t.Helper()
	var account struct{ Total, Stored, Dead, Lost, Outstanding int }
	if err := json.Unmarshal(p.run("producer", "audit", "--run", "dead", "--json"), &account); err != nil {
		p.t.Fatal(err)
	}
	if account.Dead != dead || account.Stored != 2*deadRows-dead || account.Lost != 0 || account.Outstanding != 0 {
		p.t.Errorf("the audit says %+v, want %d dead and the rest stored", account, dead)
	}
}

// An answer that was cut off is dead until it is redriven with more room, and then it says with
// which seed it was made.
func TestATruncatedAnswerIsRedrivenWithMoreRoomAndAnotherSeed(t *testing.T) {
	var mu sync.Mutex
	seeds := map[string][]int{} // that the model was asked with, by prompt
	_, url := simtest.Start(t, ollamasim.Config{Models: []string{"sim"}, Instant: true, Lengths: func(prompt string, seed int) int {
		mu.Lock()
		defer mu.Unlock()
		seeds[prompt] = append(seeds[prompt], seed)
		if strings.HasPrefix(prompt, "long") {
			return 300
		}
		return 20
	}})
	p := withNATS(t)
	input := writeRows(t, 2, func(i int) string { return fmt.Sprintf(`{"q": "%s one"}`, []string{"short", "long"}[i]) })
	p.run("producer", "load", "--run", "cut", "--input", input, "--field", "q", "--simulate", "--model", "sim", "--num-predict", "50", "--seed", "1")
	p.start("sink", "serve", "--flush-every", "100ms")
	p.start("consumer", "--run", "cut", "--ollama", url, "--slots", "2")
	publish := func(want int) {
		t.Helper()
		if running := p.start("producer", "publish", "--run", "cut", "--follow", "--max-failures", "off", "--lease", "2s"); running.Wait() != want {
			t.Fatalf("producer publish did not end with %d:\n%s", want, running.Said())
		}
	}
	publish(3)
	p.run("producer", "dead", "redrive", "--run", "cut", "--class", "truncated", "--num-predict", "400", "--temperature", "0.9", "--seed", "99")
	publish(0)
	out := filepath.Join(t.TempDir(), "out.jsonl")
	p.run("sink", "export", "--run", "cut", "--out", out)
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range bytes.Split(bytes.TrimSpace(data), []byte("\n")) {
		var row struct {
			Q       string
			Gleaner struct{ Seed, Round int }
		}
		if err := json.Unmarshal(line, &row); err != nil {
			t.Fatal(err)
		}
		want := pipeline.Seed([]int{1, 99}[i], pipeline.GenerationID("cut", i, 0))
		mu.Lock()
		asked := slices.Clone(seeds[row.Q])
		mu.Unlock()
		if row.Gleaner.Seed != want || asked[len(asked)-1] != want || row.Gleaner.Round != i+1 {
			t.Errorf("%q: seed %d in round %d, asked with %v, want %d", row.Q, row.Gleaner.Seed, row.Gleaner.Round, asked, want)
		}
	}
}
