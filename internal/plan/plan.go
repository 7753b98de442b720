// Package plan is the engine that says what a run will cost before anything is spent: messages
// and bytes through NATS, room and operations of the store, hours on GPUs, and whether that fits
// into free tiers. It weighs some of the run's batches as they will travel and be stored, and
// multiplies. It neither connects to anything nor writes.
package plan

import (
	"errors"
	"fmt"
	"math"
	"time"

	"gleaner/internal/pipeline"
)

// A TrafficMeter says what exchanges with NATS cost.
type TrafficMeter interface {
	BatchMeter
	QueueMeter
	ProgramMeter
}

// A BatchMeter says what a batch costs on its way from the producer to the sink.
type BatchMeter interface {
	Work(w pipeline.Work) (t pipeline.Traffic, size, stored int, err error)
	Results(r pipeline.Results) (t pipeline.Traffic, stored int, err error)
	Renewal(run string) pipeline.Traffic // of a lease
}

// A QueueMeter says what it costs to ask where the batches of a run are.
type QueueMeter interface {
	Depth(run string) pipeline.Traffic
	Ensure(run string) pipeline.Traffic
	Queued(run string, batches int) pipeline.Traffic
	Search(run string) pipeline.Traffic
}

// A ProgramMeter says what programs cost that are there, whether or not there is work.
type ProgramMeter interface {
	Presence(c pipeline.Presence) (pipeline.Traffic, error)
	Watch(consumers []pipeline.Presence) (pipeline.Traffic, error)
	IdlePull(run string) (pipeline.Traffic, time.Duration)
	SinkPull() pipeline.Traffic
	MirrorPull() pipeline.Traffic
	Look(durable string) pipeline.Traffic
	Connection(run string) pipeline.Traffic
	KeepAlive() pipeline.Traffic
}

// A StorageMeter says what documents and calls cost in MongoDB.
type StorageMeter interface {
	Item(i pipeline.Item) (int, error)
	Batch(b pipeline.Batch) (int, error)
	Result(m pipeline.Results, r pipeline.Result) (int, error)
	Load(items, batches int) pipeline.Operations
	Write(results, batches float64) pipeline.Operations
	Export(items, results int) pipeline.Operations
}

// Meters say what everything costs of which a run consists.
type Meters struct {
	Traffic TrafficMeter
	Storage StorageMeter
}

// A Fleet is who generates. Zero values mean the defaults.
type Fleet struct {
	Consumers       int     `json:"consumers"`         // notebooks, each one connection; default 1
	GPUs            int     `json:"gpus_each"`         // of each; default 2
	Slots           int     `json:"slots"`             // of each GPU; default 8
	TokensPerSecond float64 `json:"tokens_per_second"` // of each GPU, all its slots together; default as the answers say, or T4
	Measured        bool    `json:"measured"`          // the speed follows from stored answers
}

// T4 is the default speed of a GPU: a 7B model in four bits on a T4 with 8 slots, by estimate.
const T4 = 160

// Config says what is planned.
type Config struct {
	Run         pipeline.Run // with items, generations and batches
	RowBytes    float64      // of a row, on average
	Fleet       Fleet
	AnswerBytes int // of an answer, where there are none to look at; default 4 for each of AnswerTokens
	// AnswerTokens is how long an answer is taken to be where there are none to look at; default
	// 200.
	AnswerTokens int
	// Answers are answers of this run or of one like it. Without them the texts of prompts stand
	// in for them.
	Answers []pipeline.StoredResult
	// Like is the run whose answers EstimateDataset and EstimateRun take lengths and times from;
	// it has the same model and such prompts.
	Like    string
	Lease   time.Duration // default pipeline.DefaultLease
	Window  int           // batches on the queue at a time
	Engines Engines
}

// Engines is how often the programs do what costs something while a run goes on, whatever its
// size: the constants of the engines, which the program that plans hands over. All have to be
// positive.
type Engines struct {
	SinkFlush     time.Duration // a pull for results; and a write, if there are any
	SinkIdlePull  time.Duration // the same while there are none
	MirrorPull    time.Duration // a pull for dead letters
	PresenceEvery time.Duration // the sink reads the consumers' reports
	Poll          time.Duration // the producer looks at the run in the store; at the queue, while its window is full,
	MostPolls     int           // less and less often, up to this many polls apart,
	Refill        int           // until there is room for this part of the window
	PublishChunk  int           // batches published before the queue is looked at again
	MostItems     int           // items that the producer reads at once
	LedgerPage    int           // batches that reconcile reads, and looks for on the queue, at once
}

// validate names a field that is not set.
func (e Engines) validate() error {
	for _, field := range []struct {
		name string
		set  bool
	}{
		{"SinkFlush", e.SinkFlush > 0}, {"SinkIdlePull", e.SinkIdlePull > 0}, {"MirrorPull", e.MirrorPull > 0},
		{"PresenceEvery", e.PresenceEvery > 0}, {"Poll", e.Poll > 0}, {"MostPolls", e.MostPolls > 0}, {"Refill", e.Refill > 0},
		{"PublishChunk", e.PublishChunk > 0}, {"MostItems", e.MostItems > 0}, {"LedgerPage", e.LedgerPage > 0},
	} {
		if !field.set {
			return fmt.Errorf("plan: Engines.%s has to be positive", field.name)
		}
	}
	return nil
}

const bytesPerToken = 4 // of English

// A Planner adds up what batches of a run cost.
type Planner struct {
	cfg     Config
	traffic TrafficMeter
	storage StorageMeter
	answers *answers

	weighed weight
}

// A weight is the sum over the batches that were weighed.
type weight struct {
	batches, generations   int
	work, results          pipeline.Traffic
	renewals               float64
	largest                int // bytes of a work message
	workStored, resStored  int // bytes on the streams
	batchDocs, resultDocs  int // bytes in the store
	promptBytes, textBytes int
	outputTokens           int
}

// New returns a planner that has weighed nothing yet. An error names what is missing or the field
// of the Config that is wrong.
func New(cfg Config, meters Meters) (*Planner, error) {
	f := &cfg.Fleet
	switch {
	case meters.Traffic == nil || meters.Storage == nil:
		return nil, errors.New("plan: needs to know what NATS and the store cost")
	case cfg.Window < 1:
		return nil, fmt.Errorf("plan: a window of %d batches", cfg.Window)
	case cfg.Run.Generations < 1 || cfg.Run.Batches < 1:
		return nil, errors.New("plan: the run has no generations")
	case f.Consumers < 0 || f.GPUs < 0 || f.Slots < 0 || f.TokensPerSecond < 0 || math.IsNaN(f.TokensPerSecond) || cfg.AnswerTokens < 0:
		return nil, fmt.Errorf("plan: consumers %d, GPUs %d, slots %d, tokens per second %g and answer tokens %d may not be negative",
			f.Consumers, f.GPUs, f.Slots, f.TokensPerSecond, cfg.AnswerTokens)
	}
	if err := cfg.Engines.validate(); err != nil {
		return nil, err
	}
	for _, d := range []struct {
		value *int
		def   int
	}{{&f.Consumers, 1}, {&f.GPUs, 2}, {&f.Slots, 8}, {&cfg.AnswerTokens, 200}} {
		if *d.value == 0 {
			*d.value = d.def
		}
	}
	if cfg.Lease == 0 {
		cfg.Lease = pipeline.DefaultLease
	}
	if cfg.Run.UID == "" {
		cfg.Run.UID = anyULID
	}
	if f.TokensPerSecond == 0 {
		f.TokensPerSecond = T4
		if rate := slotRate(cfg.Answers); rate > 0 {
			f.TokensPerSecond, f.Measured = rate*float64(f.Slots), true
		}
	}
	return &Planner{cfg: cfg, traffic: meters.Traffic, storage: meters.Storage, answers: newAnswers(cfg)}, nil
}

// anyULID is as long as any other.
const anyULID = "01J00000000000000000000000"

// slotRate returns how many tokens a second a slot made, by the answers' own times.
func slotRate(answers []pipeline.StoredResult) float64 {
	tokens, ms := 0, 0
	for _, a := range answers {
		tokens += a.OutputTokens
		ms += a.DurationMS
	}
	if ms == 0 {
		return 0
	}
	return float64(tokens) / float64(ms) * 1000
}

// Weigh adds a batch of the run, as it is published.
func (p *Planner) Weigh(w pipeline.Work) error {
	w.UID = p.cfg.Run.UID
	traffic, size, stored, err := p.traffic.Work(w)
	if err != nil {
		return err
	}
	s := &p.weighed
	s.work = s.work.Plus(traffic)
	s.largest = max(s.largest, size)
	s.workStored += stored
	results := p.answers.to(w)
	if traffic, stored, err = p.traffic.Results(results); err != nil {
		return err
	}
	s.results = s.results.Plus(traffic)
	s.resStored += stored
	batch := pipeline.Batch{
		Run: w.Run, Index: w.Batch, First: p.cfg.Run.Generations, Count: len(w.Generations), State: pipeline.Done, Round: 1,
		QueuedAt: time.Unix(0, 0), DoneAt: time.Unix(0, 0),
	}
	tokens := 0
	for i, r := range results.Results {
		batch.Done = append(batch.Done, i)
		doc, err := p.storage.Result(results, r)
		if err != nil {
			return err
		}
		s.resultDocs += doc
		s.textBytes += len(r.Text)
		s.promptBytes += len(w.Generations[i].Prompt())
		tokens += r.OutputTokens
	}
	doc, err := p.storage.Batch(batch)
	if err != nil {
		return err
	}
	s.batchDocs += doc
	s.outputTokens += tokens
	s.renewals += p.renewals(tokens)
	s.batches++
	s.generations += len(w.Generations)
	return nil
}

// renewals returns how often the lease of a batch is renewed: a third of the lease after it was
// taken for the first time. Workers hold batches for longer than these generate: there are two
// more of them than slots.
func (p *Planner) renewals(tokens int) float64 {
	f := p.cfg.Fleet
	slot := f.TokensPerSecond / float64(f.Slots)
	held := float64(tokens) / slot * float64(f.Slots+2) / float64(f.Slots)
	times := held / (p.cfg.Lease / 3).Seconds()
	return max(0, times-0.5)
}
