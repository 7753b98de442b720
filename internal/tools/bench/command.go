package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"gleaner/internal/view"
)

const commandName = "command"

// Of command.
const (
	commandAnswers = 1000
	commandQuick   = 40
	commandGPUs    = 2
	commandModel   = "bench"
	runTarget      = 0.99
	programsTarget = 0.98
	askedTarget    = 0.5 // seconds until the first row is at a server
)

const commandWhat = "Whole commands, as processes, by the clock on the wall: from the start of the first process to the end of the one that is waited for.\n" +
	"gleaner run: from the start to the exported file, with reading, loading and the end of the run. Three programs: producer publish --follow, consumer\n" +
	"and sink, started together with a loaded run and a NATS server that is there; until publish has ended. Ideal (calculated): the same answers in the\n" +
	"same order dealt one by one to free slots, at no cost. Ratio: ideal by measured. The model servers speak HTTP, and are this process's."

// A WholeCommand is how much of the time of whole commands is the model's.
type WholeCommand struct {
	What            string            `json:"what"`
	Lengths         string            `json:"lengths"`
	Answers         int               `json:"answers"`
	MeanTokens      float64           `json:"mean_tokens"`
	GPUs            int               `json:"gpus"`
	SlotsPerGPU     int               `json:"slots_per_gpu"`
	TokensPerSecond float64           `json:"tokens_per_second_of_a_slot"`
	Speedup         float64           `json:"speedup"` // of the model; 1 is reality
	Runs            []WholeCommandRun `json:"runs"`
}

// A WholeCommandRun is one measurement. Times are those of the clock on the wall.
type WholeCommandRun struct {
	Programs    string  `json:"programs"`
	Seconds     float64 `json:"seconds"`
	Ideal       float64 `json:"ideal_seconds"`
	Ratio       float64 `json:"ratio"`
	Target      float64 `json:"target"`         // of the ratio
	Asked       float64 `json:"asked_seconds"`  // from the start until the first row was at a server
	AskedTarget float64 `json:"asked_target"`   // of that
	Answered    float64 `json:"answered_until"` // from the start until the last answer was complete
	IdleStart   float64 `json:"idle_start"`     // share of all slot time before the slots' first answers
	IdleBetween float64 `json:"idle_between"`   // between answers
	IdleTail    float64 `json:"idle_tail"`      // after their last answers, until the last of all
	Cores       float64 `json:"cores"`          // that the programs used on average, without the model servers; 0: not known
}

// A commandConfig says what is measured.
type commandConfig struct {
	dir      string
	programs string // folder of the programs; empty: they are built
	lengths  string // file; empty: the built-in lengths
	speedup  float64
	quick    bool
	logf     func(string, ...any)
}

func measureCommand(ctx context.Context, cfg commandConfig) (*WholeCommand, error) {
	answers := commandAnswers
	if cfg.quick {
		answers, cfg.speedup = commandQuick, 20
	}
	if cfg.speedup == 0 {
		cfg.speedup = 1
	}
	tokens, from, err := lengths(cfg.lengths, answers)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.dir, 0o700); err != nil {
		return nil, err
	}
	if cfg.programs == "" {
		cfg.logf("command: building the programs")
		if cfg.programs, err = buildPrograms(ctx, cfg.dir); err != nil {
			return nil, err
		}
	}
	c := &WholeCommand{
		What: commandWhat, Lengths: from, Answers: len(tokens), MeanTokens: mean(tokens), GPUs: commandGPUs, SlotsPerGPU: gpuSlots, TokensPerSecond: slotRate, Speedup: cfg.speedup,
	}
	for _, r := range []WholeCommandRun{{Programs: "gleaner run", Target: runTarget}, {Programs: "three programs", Target: programsTarget}} {
		if err := r.measure(ctx, cfg, tokens); err != nil {
			return nil, fmt.Errorf("%s: %w", r.Programs, err)
		}
		c.Runs = append(c.Runs, r)
	}
	return c, nil
}

// measure runs the programs once, and fills in the figures.
func (r *WholeCommandRun) measure(ctx context.Context, cfg commandConfig, tokens []int) error {
	dir := filepath.Join(cfg.dir, fmt.Sprint(r.Target))
	b, err := newCommandBed(ctx, cfg, dir, tokens)
	if err != nil {
		return err
	}
	defer b.close()
	slots := commandGPUs * gpuSlots
	made := make([]int, len(tokens)) // with the token that ends an answer
	for i, n := range tokens {
		made[i] = n + 1
	}
	r.Ideal = float64(oneByOne(made, slots)) / slotRate / cfg.speedup
	cfg.logf("command: %s, about %s", r.Programs, seconds(r.Ideal).Round(time.Second))
	run := b.programs
	if r.Target == runTarget {
		run = b.run
	}
	began, ended, err := run(ctx)
	if err != nil {
		return err
	}
	r.Seconds = ended.Sub(began).Seconds()
	r.Ratio = r.Ideal / r.Seconds
	r.AskedTarget = askedTarget
	if len(b.trace.ends) < len(tokens) {
		return fmt.Errorf("%d of %d answers were generated", len(b.trace.ends), len(tokens))
	}
	r.Asked = slices.MinFunc(b.trace.starts, time.Time.Compare).Sub(began).Seconds()
	r.Answered = b.trace.last().Sub(began).Seconds()
	before, after := b.trace.idle(slots, began)
	all := r.Answered * float64(slots)
	r.IdleStart, r.IdleTail = before.Seconds()/all, after.Seconds()/all
	r.IdleBetween = 1 - use(made, slots, r.Answered*slotRate*cfg.speedup) - r.IdleStart - r.IdleTail
	r.Cores = b.used.Seconds() / r.Seconds
	return nil
}

func (c *WholeCommand) print(w io.Writer) {
	var rows []string
	for _, r := range c.Runs {
		rows = append(rows, fmt.Sprintf("%s\t%.2f s\t%.2f s\t%.4f\t%s\t%.2f s\t%s\t%.2f s\t%.4f\t%.4f\t%.4f\t%.2f", r.Programs, r.Seconds, r.Ideal, r.Ratio, atLeast(r.Ratio, r.Target),
			r.Asked, atMost(r.Asked, r.AskedTarget), r.Answered, r.IdleStart, r.IdleBetween, r.IdleTail, r.Cores))
	}
	what := fmt.Sprintf("%s\n%s answers of %.0f tokens on average (%s; a token is %d bytes), %d GPUs with %d slots, %g tokens/s a slot, time %g times faster.",
		c.What, view.Count(c.Answers), c.MeanTokens, c.Lengths, tokenBytes, c.GPUs, c.SlotsPerGPU, c.TokensPerSecond, c.Speedup)
	table(w, commandName, what, "PROGRAMS\tTIME\tIDEAL\tRATIO\tTARGET\tFIRST ASKED\tTARGET\tLAST ANSWER\tIDLE AT START\tBETWEEN\tAT END\tCORES", rows)
}
