package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"gleaner/internal/consumer"
	"gleaner/internal/ollamasim"
	"gleaner/internal/pipeline"
	"gleaner/internal/producer"
	"gleaner/internal/view"
)

const keepBusyName = "keep-busy"

// Of keep-busy.
const (
	slotRate    = 13                     // tokens a second of each slot, however many are busy: so the bound is known
	fewSpeedup  = 25                     // for few GPUs, by default: a run takes about two minutes, and a millisecond of ours counts 25
	manySpeedup = 5                      // for many GPUs, by default: a run takes about one minute
	manyGPUs    = 20                     // from here on
	farAway     = 150 * time.Millisecond // round trip to NATS
)

// A KeepBusy is how busy GPUs are kept over a whole run, from the moment it is published to the
// end of its last answer.
type KeepBusy struct {
	What            string        `json:"what"`
	Lengths         string        `json:"lengths"`
	Answers         int           `json:"answers"`
	MeanTokens      float64       `json:"mean_tokens"`
	TokenBytes      int           `json:"token_bytes"`
	SlotsPerGPU     int           `json:"slots_per_gpu"`
	GPUsPerConsumer int           `json:"gpus_per_consumer"`
	TokensPerSecond float64       `json:"tokens_per_second_of_a_slot"`
	Runs            []KeepBusyRun `json:"runs"`
}

// A KeepBusyRun is one run. Times are those of the simulated world.
type KeepBusyRun struct {
	GPUs          int     `json:"gpus"`
	RoundTripMS   float64 `json:"round_trip_ms"` // to NATS, for every program; 0 is this machine
	Restart       bool    `json:"restart"`       // of NATS, in the middle
	Speedup       float64 `json:"speedup"`       // how many times faster time ran; what our own code takes weighs that much more
	Seconds       float64 `json:"seconds"`       // to the end of the last answer
	StoredSeconds float64 `json:"stored_seconds"`
	Use           float64 `json:"use"`   // of all slots
	Bound         float64 `json:"bound"` // the same answers dealt one by one to free slots, at no cost
	Ratio         float64 `json:"ratio"`
	Target        float64 `json:"target"`         // of the ratio
	IdleStart     float64 `json:"idle_start"`     // share of all slot time before the slots' first answers
	IdleBetween   float64 `json:"idle_between"`   // between answers
	IdleTail      float64 `json:"idle_tail"`      // after the slots' last answers
	Static        float64 `json:"static_batches"` // use of slots by batches of 8 that wait for their longest answer, at no cost
	Duplicate     int     `json:"duplicate"`      // answers generated twice
	Cores         float64 `json:"cores"`          // that everything together used on average
}

const keepBusyWhat = "Use of all GPU slots over a whole run, start and tail included, through producer, NATS on TCP, consumers, sink and SQLite;\n" +
	"the GPUs are ollamasim's, in process. Bound: the same answers in the same order dealt one by one to free slots at no cost (calculated).\n" +
	"Static: batches of 8 that wait for their longest answer, at no cost (calculated). Time runs faster by the speed-up, our own work does not."

// A keepBusyConfig says what is measured.
type keepBusyConfig struct {
	dir     string
	lengths string // file; empty: the built-in lengths
	gpus    []int
	speedup float64 // 0: the defaults
	quick   bool
	logf    func(string, ...any)
}

func measureKeepBusy(ctx context.Context, cfg keepBusyConfig) (*KeepBusy, error) {
	most := 0
	if cfg.quick {
		most = 400
	}
	tokens, from, err := lengths(cfg.lengths, most)
	if err != nil {
		return nil, err
	}
	k := &KeepBusy{
		What: keepBusyWhat, Lengths: from, Answers: len(tokens), MeanTokens: mean(tokens), TokenBytes: tokenBytes,
		SlotsPerGPU: gpuSlots, GPUsPerConsumer: gpusPerConsumer, TokensPerSecond: slotRate,
	}
	for i, r := range cfg.runs() {
		expect := float64(oneByOne(tokens, r.GPUs*gpuSlots)) / slotRate / r.Speedup
		cfg.logf("keep-busy: %d GPUs, round trip %.0f ms%s, time %g times faster: about %s", r.GPUs, r.RoundTripMS, map[bool]string{true: ", NATS restarts"}[r.Restart], r.Speedup, seconds(expect).Round(time.Second))
		if err := r.measure(ctx, filepath.Join(cfg.dir, fmt.Sprint(i)), tokens, seconds(expect/2)); err != nil {
			return nil, err
		}
		k.Runs = append(k.Runs, r)
	}
	return k, nil
}

// runs returns what is to be measured: each number of GPUs near NATS and far from it, with and
// without a restart of NATS in the middle.
func (cfg keepBusyConfig) runs() []KeepBusyRun {
	var runs []KeepBusyRun
	for _, gpus := range cfg.gpus {
		r := KeepBusyRun{GPUs: gpus, Target: 0.99, Speedup: fewSpeedup}
		if gpus >= manyGPUs {
			r.Speedup = manySpeedup
		}
		if cfg.quick {
			r.Speedup *= 10
		}
		if cfg.speedup > 0 {
			r.Speedup = cfg.speedup
		}
		far := r
		far.RoundTripMS = ms(farAway)
		restarted, farRestarted := r, far
		restarted.Restart, farRestarted.Restart = true, true
		runs = append(runs, r, far, restarted, farRestarted)
	}
	return runs
}

// measure makes one run, of which this is the middle, and fills in its figures.
func (r *KeepBusyRun) measure(ctx context.Context, dir string, tokens []int, middle time.Duration) error {
	if !r.Restart {
		middle = 0
	}
	b, err := newTestbed(ctx, testbedConfig{
		dir: dir, storeURI: "sqlite:" + filepath.Join(dir, "gleaner.db"),
		delay: time.Duration(r.RoundTripMS / 2 * float64(time.Millisecond) / r.Speedup),
		// Leases are renewed as often for each answer as in reality, unless that is shorter than
		// the sink collects results.
		lease:        max(time.Duration(float64(pipeline.DefaultLease)/r.Speedup), 5*time.Second),
		restartAfter: middle,
	})
	if err != nil {
		return err
	}
	defer b.close()
	data := rowsDataset(len(tokens))
	preflight, err := producer.RunPreflight(ctx, "keep-busy", spec(), data, nil)
	if err != nil {
		return err
	}
	run, _, err := producer.Load(ctx, b.store, preflight, ulid.Make().String(), nil)
	if err != nil {
		return err
	}
	times := &trace{}
	o, err := b.generate(ctx, run, r.consumers(tokens, times))
	if err != nil {
		return err
	}
	slots := r.GPUs * gpuSlots
	r.Seconds = times.last().Sub(o.began).Seconds() * r.Speedup
	r.StoredSeconds = o.stored.Sub(o.began).Seconds() * r.Speedup
	r.Use = use(tokens, slots, r.Seconds*slotRate)
	r.Bound = use(tokens, slots, float64(oneByOne(tokens, slots)))
	r.Static = use(tokens, slots, float64(staticBatches(tokens, r.GPUs, gpuSlots)))
	r.Ratio = r.Use / r.Bound
	before, after := times.idle(slots, o.began)
	all := r.Seconds / r.Speedup * float64(slots)
	r.IdleStart, r.IdleTail = before.Seconds()/all, after.Seconds()/all
	r.IdleBetween = 1 - r.Use - r.IdleStart - r.IdleTail
	r.Duplicate, r.Cores = o.duplicate, o.cores
	return nil
}

// consumers returns the GPUs of each consumer.
func (r *KeepBusyRun) consumers(tokens []int, trace *trace) [][]consumer.LaneConfig {
	var consumers [][]consumer.LaneConfig
	for i := range r.GPUs {
		if i%gpusPerConsumer == 0 {
			consumers = append(consumers, nil)
		}
		gpu := ollamasim.NewGPU(gpuSlots, func(int) float64 { return slotRate * r.Speedup })
		last := &consumers[len(consumers)-1]
		*last = append(*last, consumer.LaneConfig{Name: fmt.Sprintf("simulated GPU %d", i), Backend: &timed{gpu, tokens, trace}, Slots: gpuSlots})
	}
	return consumers
}

// timed is a model whose answers take as long as their tokens do on a GPU.
type timed struct {
	gpu    *ollamasim.GPU
	tokens []int // of the answer to each row
	trace  *trace
}

func (m *timed) Generate(ctx context.Context, request pipeline.Request) (pipeline.Completion, error) {
	started := time.Now()
	row, err := rowOf(request.Prompt())
	if err != nil {
		return pipeline.Completion{}, pipeline.Fail(pipeline.BadItem, "the prompt does not end with its row: %w", err)
	}
	n := m.tokens[row]
	m.trace.started()
	if err := m.gpu.Run(ctx, n); err != nil {
		return pipeline.Completion{}, err
	}
	m.trace.ended()
	return pipeline.Completion{
		Text: strings.Repeat("word", n), Finish: pipeline.FinishStop, PromptTokens: tokensOf(len(request.Prompt())), OutputTokens: n, Duration: time.Since(started),
	}, nil
}

func (k *KeepBusy) print(w io.Writer) {
	var rows []string
	for _, r := range k.Runs {
		rows = append(rows, fmt.Sprintf("%d\t%.0f ms\t%s\t%g×\t%s\t%.3f\t%.3f\t%.4f\t%s\t%.4f\t%.4f\t%.4f\t%.3f\t%d\t%.2f", r.GPUs, r.RoundTripMS, map[bool]string{true: "yes", false: "no"}[r.Restart], r.Speedup,
			view.Duration(seconds(r.Seconds)), r.Use, r.Bound, r.Ratio, atLeast(r.Ratio, r.Target), r.IdleStart, r.IdleBetween, r.IdleTail, r.Static, r.Duplicate, r.Cores))
	}
	what := fmt.Sprintf("%s\n%s answers of %.0f tokens on average (%s; a token is %d bytes), %d slots a GPU, %g tokens/s a slot, %d GPUs a consumer.",
		k.What, view.Count(k.Answers), k.MeanTokens, k.Lengths, k.TokenBytes, k.SlotsPerGPU, k.TokensPerSecond, k.GPUsPerConsumer)
	table(w, keepBusyName, what, "GPUS\tROUND TRIP\tNATS RESTARTS\tSPEED-UP\tTIME\tUSE\tBOUND\tRATIO\tTARGET\tIDLE AT START\tBETWEEN\tAT END\tSTATIC\tTWICE\tCORES", rows)
}

func ms(d time.Duration) float64      { return float64(d) / float64(time.Millisecond) }
func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
