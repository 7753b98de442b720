//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
	"gleaner/internal/reconcile"
	"gleaner/internal/stream"
)

// Bounds of the checks.
const (
	emptyWithin = 20 * time.Second // WORK and RESULTS, after the end of the run
	emptyEvery  = 200 * time.Millisecond
	batchPage   = 1000
)

// check proves that every generation is stored once or in a dead letter and that nothing else is
// left, and that it did not take longer or more than it may.
func (b *testbed) check(ctx context.Context, o *outcome, f *findings) {
	b.checkAudit(ctx, f)
	letters := b.checkStreams(ctx, o, f)
	b.checkGenerations(ctx, letters, o, f)
	for batch := range b.batches(ctx, f) {
		if isForged(batch.Error) {
			o.Forged++
			f.add("batch %s failed by a forged letter", batch.ID())
		}
		_, lettered := letters[batch.Index]
		switch {
		case batch.State != pipeline.Done && batch.State != pipeline.Dead:
			f.add("batch %s is %s", batch.ID(), batch.State)
		case batch.State == pipeline.Done && lettered:
			f.add("batch %s is done and has a dead letter", batch.ID())
		case batch.State == pipeline.Dead && !lettered:
			f.add("batch %s is dead and has no dead letter", batch.ID())
		}
	}
	b.checkExport(ctx, o, f)
	b.checkOther(ctx, f)
	o.Executed, o.Spoilt = b.seen.counted(b.rows)
	if o.Late > lateAtMost {
		f.add("publish --follow had not ended %.0f s after everything was back, %.0f s are allowed", o.Late, lateAtMost)
	}
	if o.share() > executedEach {
		f.add("the servers completed %.2f answers for each that is stored, %.2f are allowed", o.share(), executedEach)
	}
}

func (b *testbed) checkAudit(ctx context.Context, f *findings) {
	code, out, err := b.runOnce(ctx, "operator", 0, "producer", "audit", "--run", run, "--json")
	var account reconcile.Account
	if err != nil || code != 0 || json.Unmarshal(out, &account) != nil || !account.Complete() || account.Leftover > 0 {
		account.Broken = account.Broken[:min(len(account.Broken), 3)] // they are reported one by one below
		f.add("the audit ended with %d (%v): %+v", code, err, account)
	}
}

// checkStreams returns the dead letters by batch. All other streams have to be empty, or to
// become empty soon: a worker whose lease ran out may just have finished a batch that another
// worker has done.
func (b *testbed) checkStreams(ctx context.Context, o *outcome, f *findings) map[int]pipeline.StoredDeadLetter {
	emptying, stop := context.WithTimeout(ctx, emptyWithin)
	b.quiesce(emptying)
	stop()
	for _, name := range []string{stream.WorkStream, stream.ResultsStream} {
		s, err := b.js.Stream(ctx, name)
		if err != nil {
			f.add("looking at stream %s: %v", name, err)
		} else if n := s.CachedInfo().State.Msgs; n > 0 {
			f.add("stream %s holds %d messages", name, n)
		}
	}
	letters := map[int]pipeline.StoredDeadLetter{}
	conn, err := b.connect(ctx)
	if err != nil {
		f.add("%v", err)
		return nil
	}
	defer conn.Close()
	known, err := b.store.Run(ctx, run)
	if err != nil {
		f.add("reading the run: %v", err)
		return nil
	}
	for letter, err := range conn.DeadLetters(ctx, run) {
		if err != nil {
			f.add("reading the dead letters: %v", err)
			break
		}
		if letter.UID != known.UID {
			continue // of the run that was deleted: a consumer had begun it before
		}
		if _, twice := letters[letter.Batch]; twice {
			o.Doubled++
			f.add("batch %s has two dead letters", letter.ID())
		}
		letters[letter.Batch] = letter
	}
	return letters
}

// batches yields all batches of the run.
func (b *testbed) batches(ctx context.Context, f *findings) iter.Seq[pipeline.Batch] {
	return func(yield func(pipeline.Batch) bool) {
		for _, state := range pipeline.BatchStates {
			for from := 0; ; {
				page, err := b.store.Batches(ctx, run, state, from, batchPage)
				if err != nil {
					f.add("reading batches: %v", err)
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
// After a broken server the class of a row that never works may be one of that server's.
func (b *testbed) checkGenerations(ctx context.Context, letters map[int]pipeline.StoredDeadLetter, o *outcome, f *findings) {
	broken := o.brokenServers()
	failed := map[int]pipeline.GenerationFailure{} // by item
	for _, letter := range letters {
		for _, f := range letter.Failures {
			failed[f.Item] = f
		}
	}
	next := 0
	for answer, err := range b.store.Answers(ctx, run) {
		if err != nil {
			f.add("reading the answers: %v", err)
			return
		}
		switch {
		case answer.Item >= len(b.rows):
			f.add("item %d was not loaded", answer.Item)
			continue
		case answer.Item < next:
			o.Doubled++
			f.add("item %d comes twice", answer.Item)
		case answer.Item > next:
			o.Lost += answer.Item - next
			f.add("item %d comes where item %d should", answer.Item, next)
		}
		next = answer.Item + 1
		failure, isDead := failed[answer.Item]
		want := b.rows[answer.Item].class
		switch {
		case answer.Result != nil:
			o.Stored++
			if r := answer.Result; isForged(r.Text, r.Consumer) {
				o.Forged++
				f.add("the result of item %d is forged", answer.Item)
			}
			if want != "" {
				f.add("item %d is stored, it should be dead of class %s", answer.Item, want)
			}
			if r := answer.Result; r.Text == "" || r.Finish != "stop" || strings.Contains(r.Text, garbage) || r.Digest != ownDigest {
				f.add("the result of item %d is not complete: %+v", answer.Item, answer.Result)
			}
		case isDead:
			o.Dead++
			if isForged(failure.Message) {
				o.Forged++
				f.add("the dead letter of item %d is forged", answer.Item)
			}
			wrongly := broken && want != "" && (failure.Class == pipeline.Degenerate || failure.Class == pipeline.Truncated)
			if failure.Class != want && !wrongly {
				f.add("item %d is dead of class %s (%s), it should be %s", answer.Item, failure.Class, failure.Message, or(string(want), "stored"))
			}
		default:
			o.Lost++
			f.add("item %d is neither stored nor in a dead letter", answer.Item)
		}
	}
	if next != len(b.rows) {
		o.Lost += max(0, len(b.rows)-next)
		f.add("the run has %d items, %d were loaded", next, len(b.rows))
	}
}

func (b *testbed) checkExport(ctx context.Context, o *outcome, f *findings) {
	code, out, err := b.runOnce(ctx, "operator", 0, "sink", "export", "--run", run, "--out", "-")
	if lines := bytes.Count(out, []byte("\n")); err != nil || code != 0 && code != 3 || lines != o.Stored {
		f.add("the export ended with %d (%v) and has %d lines, want %d", code, err, lines, o.Stored)
	}
	seen := map[int]bool{}
	for rows := json.NewDecoder(bytes.NewReader(out)); rows.More(); {
		var row struct{ ID int }
		if err := rows.Decode(&row); err != nil {
			f.add("reading the export: %v", err)
			return
		}
		if seen[row.ID] {
			o.Doubled++
			f.add("row %d is in the export twice", row.ID)
		}
		seen[row.ID] = true
	}
}

// checkViolations adds what programs did that no program may do. They have to be at their end.
func (b *testbed) checkViolations(f *findings) (failedStarts int) {
	for _, x := range b.programs {
		for _, violation := range x.violations {
			f.add("%s", violation)
		}
		failedStarts += x.failedStarts
	}
	return failedStarts
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

// quiesce waits until WORK and RESULTS are empty: duplicates may still be on the streams when a
// run is complete.
func (b *testbed) quiesce(ctx context.Context) {
	for ctx.Err() == nil {
		left := uint64(0)
		for _, name := range []string{stream.WorkStream, stream.ResultsStream} {
			if s, err := b.js.Stream(ctx, name); err == nil {
				left += s.CachedInfo().State.Msgs
			}
		}
		if left == 0 || outage.Sleep(ctx, emptyEvery) != nil {
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
