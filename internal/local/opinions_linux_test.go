//go:build unix

package local_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"gleaner/internal/cli/processtest"
	"gleaner/internal/ollama/ollamatest"
	"gleaner/internal/ollamasim"
	"gleaner/internal/ollamasim/simtest"
	"gleaner/internal/pipeline"
)

// Rows that do not fit into the context of one GPU are answered by the other one.
func TestARowThatIsTooLongForOneGPUIsAnsweredByAnother(t *testing.T) {
	t.Parallel()
	const rows, each = 60, 3 // each third row is a short one
	prompt := func(row int) string {
		if row%each == 0 {
			return fmt.Sprintf("A short question, number %d?", row)
		}
		return fmt.Sprintf("A long question, number %d? %s", row, strings.Repeat(" word", 700))
	}
	t.Run("simulated", func(t *testing.T) {
		f := startFew(t, fewConfig{rows: rows, prompt: prompt, load: []string{"--simulate", "--model", "sim"}})
		small := f.serve(ollamasim.Config{Context: 512}, ollamasim.Fault{})
		large := f.serve(ollamasim.Config{}, ollamasim.Fault{})
		f.consume(small)
		f.consume(large)
		f.allStored()
	})
	t.Run("real", func(t *testing.T) {
		bin := ollamatest.Bin(t)
		large := ollamatest.Start(t, bin, "tiny")
		small := ollamatest.StartWith(t, bin, large.Models, "OLLAMA_CONTEXT_LENGTH=512")
		f := startFew(t, fewConfig{rows: rows, prompt: prompt, load: []string{"--model", "tiny", "--num-predict", "1500"}})
		f.consume(small.URL)
		f.consume(large.URL)
		f.allStored()
	})
}

// What a broken GPU says of the rows that it got is not the last word on them, and it does not get
// many.
func TestABrokenGPUKillsNoRowsThatAnotherOneAnswers(t *testing.T) {
	t.Parallel()
	const rows, slots = 200, 4
	for name, fault := range map[string]ollamasim.Fault{
		"says nothing": {Kind: ollamasim.Empty},
		"repeats":      {Kind: ollamasim.Loop, Text: "GGGG"},
		"cuts":         {Kind: ollamasim.Short, After: 3},
	} {
		for when, skip := range map[string]int{"from the start": 0, "in the middle": 40} {
			t.Run(name+" "+when, func(t *testing.T) {
				t.Parallel()
				f := startFew(t, fewConfig{rows: rows, load: []string{"--simulate", "--model", "sim"}})
				good := f.serve(ollamasim.Config{Slots: slots, Speed: 4}, ollamasim.Fault{})
				fault := fault
				fault.Skip = skip
				broken := f.serve(ollamasim.Config{Slots: slots, Speed: 40}, fault)
				f.consume(broken, "--slots", fmt.Sprint(slots))
				f.consume(good, "--slots", fmt.Sprint(slots))
				f.allStored()
				f.mu.Lock()
				defer f.mu.Unlock()
				if len(f.spoilt) > 8+slots {
					t.Errorf("the broken GPU got %d rows, want at most the %d of its slots beyond 8", len(f.spoilt), slots)
				}
			})
		}
	}
}

// Where every GPU is broken the rows come to their end nevertheless, and the run says why.
func TestWhereAllGPUsAreBrokenEachRowGetsItsDeadLetter(t *testing.T) {
	t.Parallel()
	const rows = 30
	f := startFew(t, fewConfig{rows: rows, load: []string{"--simulate", "--model", "sim"}})
	for range 2 {
		f.consume(f.serve(ollamasim.Config{Slots: 2}, ollamasim.Fault{Kind: ollamasim.Empty}), "--slots", "2")
	}
	if code := f.publish.Wait(); code != 3 {
		t.Fatalf("producer publish ended with %d, want 3:\n%s", code, f.said())
	}
	dead := 0
	for lines := json.NewDecoder(bytes.NewReader(f.p.run("producer", "dead", "list", "--run", "few", "--each", "--json"))); lines.More(); {
		var letter pipeline.DeadLetter
		if err := lines.Decode(&letter); err != nil {
			t.Fatal(err)
		}
		for _, failure := range letter.Failures {
			dead++
			if failure.Class != pipeline.Degenerate || !strings.Contains(failure.Message, "empty") {
				t.Errorf("row %d is dead of class %s: %s", failure.Item, failure.Class, failure.Message)
			}
		}
	}
	if dead != rows {
		t.Errorf("%d rows are dead, want %d", dead, rows)
	}
}

// A few is a run with a few GPUs, of which some are not as they should be.
type few struct {
	t         *testing.T
	p         *programs
	rows      int
	publish   *processtest.Process
	consumers []*processtest.Process

	mu     sync.Mutex
	spoilt map[string]bool // prompts to which a fault happened
}

type fewConfig struct {
	rows   int
	prompt func(row int) string
	load   []string // flags
}

func startFew(t *testing.T, cfg fewConfig) *few {
	t.Helper()
	f := &few{t: t, p: withNATS(t), rows: cfg.rows, spoilt: map[string]bool{}}
	input := writeRows(t, cfg.rows, func(i int) string {
		prompt := fmt.Sprintf("A question, number %d?", i)
		if cfg.prompt != nil {
			prompt = cfg.prompt(i)
		}
		return fmt.Sprintf(`{"question": %q}`, prompt)
	})
	f.p.run("producer", append([]string{"load", "--run", "few", "--input", input, "--field", "question"}, cfg.load...)...)
	f.p.start("sink", "serve", "--flush-every", "100ms")
	f.publish = f.p.start("producer", "publish", "--run", "few", "--follow", "--max-failures", "off", "--lease", "3s")
	return f
}

// serve starts a simulated server to which a fault happens.
func (f *few) serve(cfg ollamasim.Config, fault ollamasim.Fault) (url string) {
	f.t.Helper()
	cfg.Models, cfg.ChunkEvery, cfg.Watch = []string{"sim"}, 20*time.Millisecond, f.watch
	if cfg.Speed == 0 {
		cfg.Speed = 40
	}
	var faults []ollamasim.Fault
	if fault.Kind != "" {
		faults = append(faults, fault)
	}
	_, url = simtest.Start(f.t, cfg, faults...)
	return url
}

func (f *few) watch(x ollamasim.Exchange) {
	if x.Fault == "" || !strings.Contains(x.Prompt, "question, number") {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.spoilt[x.Prompt] = true
}

func (f *few) consume(url string, args ...string) {
	f.t.Helper()
	args = append([]string{"--run", "few", "--ollama", url, "--rest", "1s"}, args...)
	f.consumers = append(f.consumers, f.p.start("consumer", args...))
}

// allStored fails unless the run ends with every row stored and no dead letter.
func (f *few) allStored() {
	f.t.Helper()
	if code := f.publish.Wait(); code != 0 {
		f.t.Fatalf("producer publish ended with %d, want 0:\n%s", code, f.said())
	}
	var status struct {
		Stored int
	}
	if err := json.Unmarshal(f.p.run("producer", "status", "--run", "few", "--json"), &status); err != nil || status.Stored != f.rows {
		f.t.Errorf("%d of %d rows are stored (%v)", status.Stored, f.rows, err)
	}
	f.p.run("producer", "audit", "--run", "few")
}

// said returns what the programs say.
func (f *few) said() string {
	all := "publish: " + f.publish.Said()
	for _, c := range f.consumers {
		all += "\nconsumer: " + c.Said()
	}
	return all
}
