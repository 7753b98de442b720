//go:build unix

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"gleaner/internal/pipeline"
)

// An outcome is what came of one seed: a line of the results' file.
type outcome struct {
	Seed        int64    `json:"seed"`
	OK          bool     `json:"ok"`
	Problems    []string `json:"problems,omitempty"`
	Seconds     float64  `json:"seconds"`
	Generations int      `json:"generations"`
	Stored      int      `json:"stored"`
	Dead        int      `json:"dead"`
	Answers     int      `json:"answers"` // that the models completed, for those stored
	GaveUp      int      `json:"gave_up"` // programs that ended with 1 soon after a start, as a server was away
	*tally
	Folder string `json:"folder,omitempty"` // with the logs, if something was wrong
}

// A row is an item of the run and what has to become of it.
type row struct {
	question string
	class    pipeline.Class // of the dead letter; empty: it has to be stored
}

// A size is how much happens in the run of a seed.
type size struct {
	generations int
	span        time.Duration // in which faults are injected
	faults      int
	within      time.Duration
}

// makeRows makes the items of a seed: sums, and a few that cannot be generated.
func makeRows(seed int64, n int) []row {
	r := rand.New(rand.NewPCG(uint64(seed), 1))
	rows := make([]row, n)
	for i := range rows {
		rows[i].question = fmt.Sprintf("What is the sum of %d and %d?", i, r.IntN(1000))
	}
	words := specials()
	names := make([]string, 0, len(words))
	for word := range words {
		names = append(names, word)
	}
	slices.Sort(names)
	for _, word := range names {
		for range 1 + r.IntN(3) {
			i := r.IntN(n)
			if rows[i].class != "" {
				continue
			}
			rows[i].class = words[word]
			rows[i].question += " This is " + word + "."
			if word == "overlong" {
				rows[i].question += longText()
			}
		}
	}
	return rows
}

func longText() string {
	text := make([]byte, 0, 2*(contextLength+100))
	for range contextLength + 100 {
		text = append(text, " a"...)
	}
	return string(text)
}

func writeRows(path string, rows []row) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	for i, r := range rows {
		line, err := json.Marshal(map[string]any{"n": i, "question": r.question})
		if err != nil {
			return err
		}
		if _, err := w.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	return w.Flush()
}

// runSeed runs everything for one seed. Its error is for what keeps it from being run at all.
func runSeed(ctx context.Context, seed int64, s size, dir, bin, uri string, db *database, say func(string, ...any)) (o outcome, err error) {
	o = outcome{Seed: seed, Generations: s.generations, tally: &tally{Faults: map[kind]int{}}}
	began := time.Now()
	p, err := newPlant(ctx, dir, bin, uri, db)
	if err != nil {
		return o, err
	}
	defer func() {
		if p != nil {
			_ = p.close() // it was interrupted; there is an error already
		}
	}()
	within, cancel := context.WithTimeout(ctx, s.within)
	defer cancel()
	v := &verdict{}
	rows := makeRows(seed, s.generations)
	if err := p.load(within, seed, rows); err != nil {
		return o, err
	}
	if err := p.startPrograms(); err != nil {
		return o, err
	}
	w := &watcher{ledger: p.ledger}
	p.suffer(within, seed, s, o.tally, w, say)
	p.settle(within, v, say)
	if ctx.Err() != nil {
		return o, ctx.Err()
	}
	// Judging is not part of the time that the run has.
	judging, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	if within.Err() != nil {
		v.say("the run was not at its end within %s", s.within)
	}
	o.Seconds = time.Since(began).Seconds()
	o.Stored, o.Dead = p.check(judging, rows, v)
	if err := w.compare(judging); err != nil {
		v.say("comparing results: %v", err)
	}
	v.problems = append(v.problems, w.changed...)
	o.Answers = p.answers()
	p.endPrograms(v)
	o.GaveUp = p.checkBlame(v)
	if err := p.close(); err != nil {
		v.say("ending: %v", err)
	}
	p = nil
	for _, process := range leftOver(dir) {
		v.say("a process is left: %s", process)
	}
	v.problems = append(v.problems, o.tally.failed...)
	o.Problems, o.OK = v.problems, len(v.problems) == 0
	return o, nil
}

// load loads the run; with every other seed it is killed in the middle first.
func (p *plant) load(ctx context.Context, seed int64, rows []row) error {
	file := filepath.Join(p.dir, "rows.jsonl")
	if err := writeRows(file, rows); err != nil {
		return err
	}
	args := []string{"load", "--run", run, "--input", file, "--field", "question", "--model", model}
	if r := rand.New(rand.NewPCG(uint64(seed), 2)); r.IntN(2) == 0 {
		if _, _, err := p.once(ctx, "operator", time.Duration(1+r.IntN(400))*time.Millisecond, "producer", args...); err != nil {
			return err
		}
	}
	code, _, err := p.once(ctx, "operator", 0, "producer", args...)
	if err == nil && code != 0 {
		err = fmt.Errorf("producer load ended with %d, see operator.log in %s", code, p.dir)
	}
	return err
}

// suffer lets the faults of a seed happen until they are over or the run is at its end. All are
// mended then.
func (p *plant) suffer(ctx context.Context, seed int64, s size, t *tally, w *watcher, say func(string, ...any)) {
	running, end := context.WithCancel(ctx)
	defer end()
	var watching sync.WaitGroup
	watching.Go(func() { w.watch(running) })
	defer watching.Wait()
	go func() {
		select {
		case <-p.programs["producer"].over:
			end()
		case <-running.Done():
		}
	}()
	began := time.Now()
	p.strike(running, schedule(seed, s.span, s.faults, p.database != nil), t, w.count, say)
	say("%5.1fs the faults are over, %d stored", time.Since(began).Seconds(), w.count())
	select {
	case <-p.programs["producer"].over:
	case <-ctx.Done():
	}
	end()
}

// settle follows the run once more, since the last faults may have come after its end, until
// nothing is under way.
func (p *plant) settle(ctx context.Context, v *verdict, say func(string, ...any)) {
	code, _, err := p.once(ctx, "operator", 0, "producer", "publish", "--run", run, "--follow", "--lease", lease.String())
	if (err != nil || !settled(code)) && ctx.Err() == nil {
		v.say("producer publish --follow ended with %d (%v), want 0 or 3", code, err)
	}
	p.quiesce(ctx)
	say("the run is at its end")
}

// endPrograms stops the programs as a service manager does.
func (p *plant) endPrograms(v *verdict) {
	for name, x := range p.programs {
		if code := x.end(syscall.SIGTERM, 30*time.Second); name != "producer" && code != 0 {
			v.say("%s ended with %d when it was told to stop, want 0", name, code)
		}
	}
}
