package local_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"gleaner/internal/natsd/natsdtest"
	"gleaner/internal/ollamasim"

	"gleaner/internal/natsd"
)

const (
	deadRows = 100
	badEvery = 5 // each fifth row cannot be generated until a switch is turned
)

// What cannot be generated becomes dead letters that are listed, audited, redriven by class and done.
func TestDeadLettersAreRedrivenAndDone(t *testing.T) {
	server := natsdtest.Start(t, natsd.Config{Port: -1})
	ollama := ollamasim.New(ollamasim.Config{Models: []string{"sim"}, Instant: true})
	url, err := ollama.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ollama.Close)
	ollama.Inject(ollamasim.Fault{Kind: ollamasim.Empty, Match: ollamasim.Prompts("bad")})

	p := build(t, "sqlite:"+filepath.Join(t.TempDir(), "gleaner.db"))
	p.env = append(p.env, "NATS_URL="+server.URL())
	var rows bytes.Buffer
	for i := range deadRows {
		kind := "good"
		if i%badEvery == 0 {
			kind = "bad"
		}
		fmt.Fprintf(&rows, "{\"question\": \"A %s question, number %d?\"}\n", kind, i)
	}
	input := filepath.Join(t.TempDir(), "rows.jsonl")
	if err := os.WriteFile(input, rows.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	p.run("producer", "load", "--run", "dead", "--input", input, "--field", "question", "--model", "sim", "--samples", "2")
	sink := p.start("sink", "serve", "--flush-every", "100ms")
	publish := p.start("producer", "publish", "--run", "dead", "--follow", "--lease", "5s")
	consumer := p.start("consumer", "--run", "dead", "--ollama", url, "--slots", "4")
	if code := publish.wait(); code != 3 {
		t.Fatalf("producer publish ended with %d, want 3:\n%s", code, publish.said())
	}

	const bad = 2 * deadRows / badEvery
	letters := listLetters(p)
	if n := failuresIn(letters); n != bad {
		t.Errorf("%d generations in dead letters, want %d", n, bad)
	}
	checkAudit(p, bad)
	ollama.ClearFaults()
	p.run("producer", "dead", "redrive", "--run", "dead", "--class", "degenerate")
	if code := p.start("producer", "publish", "--run", "dead", "--follow", "--lease", "5s").wait(); code != 0 {
		t.Errorf("after the redrive producer publish ended with %d, want 0", code)
	}
	if letters := listLetters(p); len(letters) != 0 {
		t.Errorf("%d dead letters are left: %+v", len(letters), letters[0])
	}
	checkAudit(p, 0)
	for _, running := range []*process{consumer, sink} {
		if err := running.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if code := running.wait(); code != 0 {
			t.Errorf("%s ended with %d:\n%s", running.cmd.Args, code, running.said())
		}
	}
}

// A letter is what a test looks at of a dead letter.
type letter struct {
	Class    string
	Standing string
	Failures []struct{ Prompt, Class, Message string }
}

func listLetters(p *programs) []letter {
	p.t.Helper()
	var letters []letter
	for decoder := json.NewDecoder(bytes.NewReader(p.run("producer", "dead", "list", "--run", "dead", "--json"))); decoder.More(); {
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

// checkAudit fails unless everything is accounted for, with so many dead generations.
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
