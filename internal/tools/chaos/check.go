//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"gleaner/internal/pipeline"
	"gleaner/internal/reconcile"
	"gleaner/internal/stream"
)

// A verdict is what was wrong at the end; empty if everything was as promised.
type verdict struct {
	problems []string
}

func (v *verdict) say(format string, args ...any) {
	if len(v.problems) < 50 {
		v.problems = append(v.problems, fmt.Sprintf(format, args...))
	}
}

// check proves that every generation is stored once or in a dead letter and that nothing else is
// left.
func (p *plant) check(ctx context.Context, rows []row, v *verdict) (stored, dead int) {
	p.checkAudit(ctx, v)
	letters := p.checkStreams(ctx, v)
	stored, dead = p.checkGenerations(ctx, rows, letters, v)
	for b := range p.batches(ctx, v) {
		_, lettered := letters[b.Index]
		switch {
		case b.State != pipeline.Done && b.State != pipeline.Dead:
			v.say("batch %s is %s", b.ID(), b.State)
		case b.State == pipeline.Done && lettered:
			v.say("batch %s is done and has a dead letter", b.ID())
		case b.State == pipeline.Dead && !lettered:
			v.say("batch %s is dead and has no dead letter", b.ID())
		}
	}
	p.checkExport(ctx, stored, v)
	return stored, dead
}

func (p *plant) checkAudit(ctx context.Context, v *verdict) {
	code, out, err := p.once(ctx, "operator", 0, "producer", "audit", "--run", run, "--json")
	var account reconcile.Account
	if err != nil || code != 0 || json.Unmarshal(out, &account) != nil || !account.Complete() || account.Leftover > 0 {
		account.Broken = account.Broken[:min(len(account.Broken), 3)] // they are told one by one below
		v.say("the audit ended with %d (%v): %+v", code, err, account)
	}
}

// checkStreams returns the dead letters by batch. All other streams have to be empty, or to
// become it: a worker that was taken for dead may have finished a batch this moment that another
// has done.
func (p *plant) checkStreams(ctx context.Context, v *verdict) map[int]pipeline.StoredDeadLetter {
	emptying, stop := context.WithTimeout(ctx, 20*time.Second)
	p.quiesce(emptying)
	stop()
	for _, name := range []string{stream.WorkStream, stream.ResultsStream} {
		s, err := p.js.Stream(ctx, name)
		if err != nil {
			v.say("looking at stream %s: %v", name, err)
		} else if n := s.CachedInfo().State.Msgs; n > 0 {
			v.say("stream %s holds %d messages", name, n)
		}
	}
	letters := map[int]pipeline.StoredDeadLetter{}
	conn, err := stream.Connect(ctx, stream.Config{URL: "nats://" + p.natsAddr, Name: "chaos"})
	if err != nil {
		v.say("%v", err)
		return nil
	}
	defer conn.Close()
	for letter, err := range conn.DeadLetters(ctx, run) {
		if err != nil {
			v.say("reading the dead letters: %v", err)
			break
		}
		if _, twice := letters[letter.Batch]; twice {
			v.say("batch %s has two dead letters", letter.ID())
		}
		letters[letter.Batch] = letter
	}
	return letters
}

// batches yields all batches of the run.
func (p *plant) batches(ctx context.Context, v *verdict) iter.Seq[pipeline.Batch] {
	return func(yield func(pipeline.Batch) bool) {
		for _, state := range pipeline.BatchStates {
			for from := 0; ; {
				page, err := p.ledger.Batches(ctx, run, state, from, 1000)
				if err != nil {
					v.say("reading batches: %v", err)
					return
				}
				if len(page) == 0 {
					break
				}
				for _, b := range page {
					if !yield(b) {
						return
					}
				}
				from = page[len(page)-1].Index + 1
			}
		}
	}
}

// checkGenerations compares what became of each item with what had to become of it.
func (p *plant) checkGenerations(ctx context.Context, rows []row, letters map[int]pipeline.StoredDeadLetter, v *verdict) (stored, dead int) {
	failed := map[int]pipeline.GenerationFailure{} // by item
	for _, letter := range letters {
		for _, f := range letter.Failures {
			failed[f.Item] = f
		}
	}
	next := 0
	for answer, err := range p.ledger.Answers(ctx, run) {
		if err != nil {
			v.say("reading the answers: %v", err)
			return stored, dead
		}
		if answer.Item != next {
			v.say("item %d comes where item %d should", answer.Item, next)
		}
		next = answer.Item + 1
		failure, isDead := failed[answer.Item]
		want := rows[answer.Item].class
		switch {
		case answer.Result != nil:
			stored++
			if want != "" {
				v.say("item %d is stored, it should be dead of class %s", answer.Item, want)
			}
			if answer.Result.Text == "" || answer.Result.Finish != "stop" {
				v.say("the result of item %d is not complete: %+v", answer.Item, answer.Result)
			}
		case isDead:
			dead++
			if failure.Class != want {
				v.say("item %d is dead of class %s (%s), it should be %s", answer.Item, failure.Class, failure.Message, or(string(want), "stored"))
			}
		default:
			v.say("item %d is neither stored nor in a dead letter", answer.Item)
		}
	}
	if next != len(rows) {
		v.say("the run has %d items, %d were loaded", next, len(rows))
	}
	return stored, dead
}

func (p *plant) checkExport(ctx context.Context, stored int, v *verdict) {
	code, out, err := p.once(ctx, "operator", 0, "sink", "export", "--run", run, "--out", "-")
	if lines := bytes.Count(out, []byte("\n")); err != nil || code != 0 && code != 3 || lines != stored {
		v.say("the export ended with %d (%v) and has %d lines, want %d", code, err, lines, stored)
	}
}

// checkBlame collects what programs did that no program may do, after they have ended.
func (p *plant) checkBlame(v *verdict) (gaveUp int) {
	for _, x := range p.programs {
		for _, blame := range x.blame {
			v.say("%s", blame)
		}
		gaveUp += x.gaveUp
	}
	return gaveUp
}

// leftOver names the processes of this machine that run one of these programs, or work in this
// folder.
func leftOver(dir string) (found []string) {
	cmdlines, _ := filepath.Glob("/proc/[0-9]*/cmdline") // where there is no /proc, nothing is found
	for _, file := range cmdlines {
		data, _ := os.ReadFile(file) // it may end this moment
		if pid := filepath.Base(filepath.Dir(file)); strings.Contains(string(data), dir) && pid != strconv.Itoa(os.Getpid()) {
			found = append(found, pid+" "+strings.ReplaceAll(string(data), "\x00", " "))
		}
	}
	return found
}

// quiesce waits until nothing is under way: what came twice may still be on the streams when a
// run is at its end.
func (p *plant) quiesce(ctx context.Context) {
	for ctx.Err() == nil {
		left := uint64(0)
		for _, name := range []string{stream.WorkStream, stream.ResultsStream} {
			if s, err := p.js.Stream(ctx, name); err == nil {
				left += s.CachedInfo().State.Msgs
			}
		}
		if left == 0 || !pause(ctx, 200*time.Millisecond) {
			return
		}
	}
}

func or(text, fallback string) string {
	if text == "" {
		return fallback
	}
	return text
}
