package plan

import (
	"errors"
	"math"
	"time"

	"gleaner/internal/pipeline"
)

// How often the programs do what costs something while a run goes on, whatever its size. These
// are the defaults of the engines and of what they stand on; the test in internal/local that
// compares a plan with a run holds them together.
const (
	sinkEvery      = time.Second      // a pull for results; and a write, if there are any
	sinkIdleEvery  = 5 * time.Second  // the same while there are none
	mirrorEvery    = 10 * time.Second // a pull for dead letters
	watchEvery     = 15 * time.Second // the sink reads the consumers' reports
	lookEvery      = 5 * time.Minute  // each program looks up its durables
	pollEvery      = time.Second      // the producer looks at the run in the store; at the queue, while its window is full,
	mostPolls      = 16               // less and less often, up to so many of them apart,
	refill         = 20               // until there is room for this part of the window
	ledgerPage     = 1000             // batches that reconcile reads, and looks for on the queue, at once
	betweenSeconds = 2.5              // that answers are neither on the queue nor in the store: reconcile looks for their batches one by one
	publishChunk   = 100              // batches published before the queue is looked at again
	itemsOfOneRead = 256
	month          = 30 * 24 * time.Hour
)

// An Estimate is what a run is going to cost.
type Estimate struct {
	Run         string `json:"run"`
	Model       string `json:"model"`
	Items       int    `json:"items"`
	Samples     int    `json:"samples"`
	Generations int    `json:"generations"`
	Batches     int    `json:"batches"`
	Fleet       Fleet  `json:"fleet"`

	Basis Basis `json:"basis"`

	OutputTokens float64 `json:"output_tokens"`
	Seconds      float64 `json:"seconds"`     // from the first batch to the last answer
	GPUSeconds   float64 `json:"gpu_seconds"` // of all GPUs together

	Traffic     pipeline.Traffic `json:"traffic"`
	Parts       []Part           `json:"traffic_parts"`
	PerBatch    pipeline.Traffic `json:"traffic_of_batches"` // of Traffic, what does not depend on time
	Idle        []Part           `json:"idle_month"`         // what programs cost that are left running for 30 days with nothing to do
	Largest     int              `json:"largest_message_bytes"`
	Streams     float64          `json:"stream_bytes"` // on the streams at a time, with a sink that keeps up
	ResultBytes float64          `json:"result_bytes"` // on them if no sink runs to the end
	Connection  int              `json:"connections"`

	Database  Database            `json:"database"`
	Load      pipeline.Operations `json:"load_operations"`
	Generate  pipeline.Operations `json:"generate_operations"`
	Export    pipeline.Operations `json:"export_operations"`
	PerSecond pipeline.Operations `json:"operations_per_second"` // while it is generated
	RowBytes  float64             `json:"row_bytes"`
}

// Basis says what the estimate stands on.
type Basis struct {
	Batches      int     `json:"batches_weighed"`
	Answers      int     `json:"answers_weighed"` // 0: their length is an assumption
	AnswerTokens float64 `json:"answer_tokens"`   // of each
	AnswerBytes  float64 `json:"answer_bytes"`
	PromptBytes  float64 `json:"prompt_bytes"`
}

// A Part is a part of the traffic.
type Part struct {
	What string `json:"what"`
	pipeline.Traffic
}

// A Database is the bytes of documents with their index entries.
type Database struct {
	Items   float64 `json:"items_bytes"`
	Batches float64 `json:"batches_bytes"`
	Results float64 `json:"results_bytes"`
}

// Bytes returns the sum.
func (d Database) Bytes() float64 { return d.Items + d.Batches + d.Results }

// Estimate returns what the run costs, by the batches that were weighed.
func (p *Planner) Estimate() (Estimate, error) {
	run, f, s := p.cfg.Run, p.cfg.Fleet, p.weighed
	if s.batches == 0 {
		return Estimate{}, errors.New("plan: no batch was weighed")
	}
	scale := float64(run.Batches) / float64(s.batches) // every so many-th batch was weighed
	each := float64(run.Generations) / float64(s.generations)
	e := Estimate{
		Run: run.Name, Model: run.Spec.Model, Items: run.Items, Samples: run.Spec.Samples, Generations: run.Generations, Batches: run.Batches, Fleet: f,
		Basis: Basis{
			Batches: s.batches, Answers: len(p.cfg.Answers), AnswerTokens: share(s.outputTokens, s.generations),
			AnswerBytes: share(s.textBytes, s.generations), PromptBytes: share(s.promptBytes, s.generations),
		},
		OutputTokens: float64(s.outputTokens) * each, Largest: s.largest,
		Connection: f.Consumers + 2, RowBytes: p.cfg.RowBytes,
	}
	e.GPUSeconds = e.OutputTokens / f.TokensPerSecond
	e.Seconds = e.GPUSeconds / float64(f.Consumers*f.GPUs)
	e.Streams = float64(s.workStored)/float64(s.batches)*float64(min(run.Batches, p.cfg.Window)) + float64(s.resStored)*scale/max(1, e.Seconds/2)
	e.ResultBytes = float64(s.resStored) * scale
	if err := p.traffic(&e, scale); err != nil {
		return Estimate{}, err
	}
	return e, p.database(&e, scale, each)
}

func share(sum, of int) float64 { return float64(sum) / float64(max(1, of)) }

// traffic adds up what travels.
func (p *Planner) traffic(e *Estimate, scale float64) error {
	run, s := p.cfg.Run.Name, p.weighed
	often := func(every time.Duration) float64 { return e.Seconds / every.Seconds() }
	consumers := p.consumers()
	presence, err := p.nats.Presence(consumers[0])
	if err != nil {
		return err
	}
	watch, err := p.nats.Watch(consumers)
	if err != nil {
		return err
	}
	work, results := s.work.Times(scale), s.results.Times(scale)
	e.PerBatch = work.Plus(results)
	third := p.cfg.Lease / 3
	n := float64(p.cfg.Fleet.Consumers)
	e.Parts = []Part{
		{"batches to the GPUs", work},
		{"answers to the store", results},
		{"leases renewed", p.nats.Renewal(run).Times(s.renewals * scale)},
		{"consumers' reports", presence.Times(n * (often(third) + 2)).Plus(p.nats.Look(run).Times(n * often(lookEvery)))},
		{"the sink asks and watches", p.nats.SinkPull().Times(often(sinkEvery) + 1).Plus(p.nats.MirrorPull().Times(often(mirrorEvery) + 1)).
			Plus(watch.Times(often(watchEvery) + 1)).Plus(p.nats.Look("sink").Times(2 * (often(lookEvery) + 1)))},
		{"the producer watches the queue", p.watching(e.Seconds)},
		{"connections", p.nats.Connection(run).Plus(p.nats.KeepAlive().Times(e.Seconds / 3600)).Times(float64(e.Connection))},
	}
	for _, part := range e.Parts {
		e.Traffic = e.Traffic.Plus(part.Traffic)
	}
	pull, lasts := p.nats.IdlePull(run)
	in := func(every time.Duration) float64 { return float64(month) / float64(every) }
	workers := float64(p.cfg.Fleet.GPUs * (p.cfg.Fleet.Slots + 2))
	e.Idle = []Part{
		{"a sink", p.nats.SinkPull().Times(in(sinkIdleEvery)).Plus(p.nats.MirrorPull().Times(in(mirrorEvery))).Plus(watch.Times(in(watchEvery)))},
		{"a consumer", pull.Times(workers * in(lasts)).Plus(presence.Times(in(third)))},
	}
	return nil
}

// watching is what the producer asks while it follows the run: is there room on the queue, are
// the streams there, and where are the batches that have been on their way for three leases and
// more.
func (p *Planner) watching(seconds float64) pipeline.Traffic {
	run, lease := p.cfg.Run.Name, p.cfg.Lease.Seconds()
	batches, window := float64(p.cfg.Run.Batches), float64(min(p.cfg.Run.Batches, p.cfg.Window))
	waiting := seconds * (1 - window/batches) // while the window is full
	looks := batches / publishChunk
	if waiting > 0 {
		refills := (batches - window) / max(1, window/refill)
		each := waiting / refills
		looks += refills * (math.Log2(1+min(each, mostPolls)) + each/mostPolls)
	}
	t := p.nats.Depth(run).Times(looks).Plus(p.nats.Ensure(run).Times(seconds/lease + 1))
	list := func(entries float64) pipeline.Traffic {
		return p.nats.Queued(run, int(entries)).Plus(p.nats.Search(run).Times(batches / max(1, seconds) * betweenSeconds))
	}
	// A page of the ledger is looked for again after the time that its batches have been known,
	// within 3 and 12 leases.
	pages := math.Ceil(window / ledgerPage)
	t = t.Plus(list(window).Times(waiting / (3 * lease) * (1 + (pages-1)/4)))
	drain := seconds - waiting
	for age := 3 * lease; age < drain; age += min(max(age, 3*lease), 12*lease) {
		left := window * (1 - age/drain)
		t = t.Plus(list(left).Times(math.Ceil(left / ledgerPage)))
	}
	return t
}

// consumers returns consumers as they report themselves.
func (p *Planner) consumers() []pipeline.Presence {
	f := p.cfg.Fleet
	c := pipeline.Presence{
		ID: anyULID, Run: p.cfg.Run.Name, Host: "0123456789ab", Version: "v0.0.0-20260101000000-0123456789ab", ServerVersion: "0.12.0", Model: p.cfg.Run.Spec.Model,
		Digest: "0123456789012345678901234567890123456789012345678901234567890123", Started: time.Unix(1700000000, 1).UTC(), Seen: time.Unix(1700000000, 1).UTC(),
	}
	for range f.GPUs {
		c.GPUs = append(c.GPUs, pipeline.GPUStatus{
			Name: "127.0.0.1:11434", State: "serving", Slots: f.Slots, Busy: f.Slots, Generations: 1000, OutputTokens: 100000, TokensPerSecond: f.TokensPerSecond + 1./3,
		})
	}
	all := make([]pipeline.Presence, f.Consumers)
	for i := range all {
		all[i] = c
	}
	return all
}

// database adds up what is stored, and how often the store is asked.
func (p *Planner) database(e *Estimate, scale, each float64) error {
	run, s := p.cfg.Run, p.weighed
	bare, err := p.store.Item(pipeline.Item{Run: run.Name})
	if err != nil {
		return err
	}
	e.Database = Database{
		Items:   float64(run.Items) * (float64(bare) + p.cfg.RowBytes),
		Batches: float64(s.batchDocs) * scale,
		Results: float64(s.resultDocs) * each,
	}
	e.Load = p.store.Load(run.Items, run.Batches)
	e.Export = p.store.Export(run.Items, run.Generations)
	// A write takes what came within a second; when batches end less often there is one for each
	// of them.
	seconds := max(e.Seconds, 1)
	writes := seconds * (1 - math.Exp(-float64(run.Batches)/seconds))
	looks := pipeline.Operations{Commands: 2, Statements: 2} // each write is checked first; each look of the producer reads the run and counts
	write := p.store.Write(float64(run.Generations)/writes, float64(run.Batches)/writes)
	reads := float64(run.Batches)/publishChunk*2 + float64(run.Items)/itemsOfOneRead
	e.Generate = write.Plus(looks).Times(writes).
		Plus(looks.Times(seconds / pollEvery.Seconds())).
		Plus(pipeline.Operations{Commands: reads, Statements: reads}).
		Plus(pipeline.Operations{Commands: 1, Statements: float64(p.cfg.Fleet.Consumers)}.Times(seconds / watchEvery.Seconds())).
		Plus(pipeline.Operations{Commands: 4, Statements: 4}.Times(seconds / p.cfg.Lease.Seconds()))
	e.PerSecond = e.Generate.Times(1 / seconds)
	return nil
}
