// Package plan is the engine that says what a run will cost before anything is spent: messages and
// bytes through NATS, size and operations of the store, hours of GPUs, and whether that fits into
// free tiers. It weighs some of the run's batches in their encoded forms, and multiplies. It
// neither connects to anything nor writes.
package plan

import (
	"errors"
	"fmt"
	"math"
	"time"

	"gleaner/internal/pipeline"
)

// TrafficCosts say what exchanges with NATS cost.
type TrafficCosts interface {
	BatchCosts
	QueueCosts
	ProgramCosts
}

// BatchCosts say what a batch costs on its way from the producer to the sink.
type BatchCosts interface {
	Work(w pipeline.Work) (t pipeline.Traffic, size, stored int, err error)
	Results(r pipeline.Results) (t pipeline.Traffic, stored int, err error)
	Renewal(run string) pipeline.Traffic // of a lease
}

// QueueCosts say what it costs to ask where the batches of a run are.
type QueueCosts interface {
	Depth(run string) pipeline.Traffic
	Ensure(run string) pipeline.Traffic
	Queued(run string, batches int) pipeline.Traffic
	Search(run string) pipeline.Traffic
}

// ProgramCosts say what running programs cost, whether or not there is work.
type ProgramCosts interface {
	Presence(c pipeline.Presence) (pipeline.Traffic, error)
	Heard(c pipeline.Presence) (pipeline.Traffic, error)
	IdlePull(run string) (pipeline.Traffic, time.Duration)
	SinkPull(wait time.Duration) pipeline.Traffic
	MirrorPull(wait time.Duration) pipeline.Traffic
	Look(durable string) pipeline.Traffic
	Connection(run string) pipeline.Traffic
	KeepAlive() pipeline.Traffic
}

// StorageCosts say what documents and calls cost in MongoDB.
type StorageCosts interface {
	Item(i pipeline.Item) (int, error)
	Batch(b pipeline.Batch) (int, error)
	Result(m pipeline.Results, r pipeline.Result) (int, error)
	Load(items, batches int) pipeline.Operations
	Write(results, batches float64) pipeline.Operations
	Export(items, results int) pipeline.Operations
}

// Meters say what the parts of a run cost.
type Meters struct {
	Traffic TrafficCosts
	Storage StorageCosts
}

// A Fleet is the GPUs that generate. Zero values mean the defaults.
type Fleet struct {
	Consumers       int     `json:"consumers"`         // notebooks, each one connection; default 1
	GPUs            int     `json:"gpus_each"`         // of each; default 2
	Slots           int     `json:"slots"`             // of each GPU; default 8
	TokensPerSecond float64 `json:"tokens_per_second"` // of each GPU with all its slots; default: measured by the answers, or T4
	Measured        bool    `json:"measured"`          // the speed follows from stored answers
}

// T4 is the default speed of a GPU: a 7B model in four bits on a T4 with 8 slots, by estimate.
const T4 = 160

// Config says what is planned.
type Config struct {
	Run         pipeline.Run // with items, generations and batches
	RowBytes    float64      // of a row, on average
	Fleet       Fleet
	AnswerBytes int // of an answer, if there are no Answers; default 4 for each of AnswerTokens
	// AnswerTokens is the assumed length of an answer if there are no Answers; default 200.
	AnswerTokens int
	// Answers are answers of this run or of a similar one. Texts of prompts take their place if
	// there are none.
	Answers []pipeline.StoredResult
	// Like is a run with the same model and similar prompts, from whose answers EstimateDataset
	// and EstimateRun take lengths and times.
	Like    string
	Lease   time.Duration // default pipeline.DefaultLease
	Window  int           // batches on the queue at a time; 0: it follows the fleet, as a publisher's
	Engines Engines

	// Sampled is called with each batch of a loaded run that was read, and how many will be; it may
	// be nil.
	Sampled func(done, of int)
}

// Engines are the constants of the engines that decide what a run costs. The program that plans
// passes them in, since engines do not know each other. All have to be positive.
type Engines struct {
	SinkFlush      time.Duration // between two pulls for results, each with a write if there are any
	SinkIdlePull   time.Duration // between two pulls while there are no results
	MirrorPull     time.Duration // between two pulls for dead letters
	PresenceEvery  time.Duration // between two looks of the sink at the consumers' reports
	DurableRefresh time.Duration // between two looks of the sink at its durables
	RunAsk         time.Duration // between two questions of a consumer about its run
	Poll           time.Duration // between two looks of the producer at the run; and at the queue while its window is full,
	MostPolls      int           // where they get further apart, up to this many polls,
	Refill         int           // until this part of the window is free, as 1/Refill
	PublishChunk   int           // batches that the producer publishes between two looks at the queue
	MostItems      int           // items that the producer reads at once
	StorePage      int           // batches that reconcile reads, and searches for on the queue, at once
}

// validate names a field that is not set.
func (e Engines) validate() error {
	for _, field := range []struct {
		name string
		set  bool
	}{
		{"SinkFlush", e.SinkFlush > 0}, {"SinkIdlePull", e.SinkIdlePull > 0}, {"MirrorPull", e.MirrorPull > 0},
		{"PresenceEvery", e.PresenceEvery > 0}, {"DurableRefresh", e.DurableRefresh > 0}, {"RunAsk", e.RunAsk > 0}, {"Poll", e.Poll > 0}, {"MostPolls", e.MostPolls > 0}, {"Refill", e.Refill > 0},
		{"PublishChunk", e.PublishChunk > 0}, {"MostItems", e.MostItems > 0}, {"StorePage", e.StorePage > 0},
	} {
		if !field.set {
			return fmt.Errorf("plan: Engines.%s has to be positive", field.name)
		}
	}
	return nil
}

const bytesPerToken = 4 // of English

// AboutTokens returns how many tokens a text of this length has, about.
func AboutTokens(bytes int) int { return bytes/bytesPerToken + 1 }

// A Planner adds up what batches of a run cost.
type Planner struct {
	cfg     Config
	shape   pipeline.FleetShape
	traffic TrafficCosts
	storage StorageCosts
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

// New returns a planner that has weighed nothing yet. An error names what is missing or the wrong
// field of the Config.
func New(cfg Config, meters Meters) (*Planner, error) {
	f := &cfg.Fleet
	switch {
	case meters.Traffic == nil || meters.Storage == nil:
		return nil, errors.New("plan: needs to know what NATS and the store cost")
	case cfg.Window < 0:
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
	shape := pipeline.FleetShape{GPUsEach: f.GPUs, Slots: f.Slots, Window: cfg.Window, Batches: cfg.Run.Batches}
	if cfg.Window == 0 {
		cfg.Window = max(pipeline.LeastWindow, pipeline.WindowEach*f.Consumers*f.GPUs*pipeline.Workers(f.Slots))
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
	return &Planner{cfg: cfg, shape: shape, traffic: meters.Traffic, storage: meters.Storage, answers: newAnswers(cfg)}, nil
}

// anyULID is a ULID for sizes: all are equally long.
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

// Weigh adds a batch of the run in its published form. Its errors are those of the meters.
func (p *Planner) Weigh(w pipeline.Work) error {
	w.UID = p.cfg.Run.UID
	w.Token = anyKey.Token(w.UID, w.Batch, w.Round)
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

// renewals returns how often the lease of a batch is renewed: first a third of the lease after the
// batch was taken. A worker holds a batch for longer than its slot generates, since there are two
// more workers than slots.
func (p *Planner) renewals(tokens int) float64 {
	f := p.cfg.Fleet
	slot := f.TokensPerSecond / float64(f.Slots)
	held := float64(tokens) / slot * float64(f.Slots+2) / float64(f.Slots)
	times := held / (p.cfg.Lease / 3).Seconds()
	return max(0, times-0.5)
}
