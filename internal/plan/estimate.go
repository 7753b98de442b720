package plan

import (
	"errors"
	"math"
	"time"

	"gleaner/internal/pipeline"
)

const (
	betweenSeconds = 2.5 // for which answers are neither on the queue nor in the store, and reconcile searches for their batches one by one
	month          = 30 * 24 * time.Hour
)

// An Estimate is what a run will cost.
type Estimate struct {
	Run         string `json:"run"`
	Model       string `json:"model"`
	Items       int    `json:"items"`
	Skipped     int    `json:"skipped,omitempty"` // rows of the dataset that are left out because they cannot be used
	Samples     int    `json:"samples"`
	Generations int    `json:"generations"`
	Batches     int    `json:"batches"`
	Fleet       Fleet  `json:"fleet"`

	Basis Basis `json:"basis"`

	OutputTokens float64 `json:"output_tokens"`
	Seconds      float64 `json:"seconds"`     // from the first batch to the last answer
	GPUSeconds   float64 `json:"gpu_seconds"` // of all GPUs together

	Traffic     pipeline.Traffic `json:"traffic"`
	Parts       []TrafficPart    `json:"traffic_parts"`
	PerBatch    pipeline.Traffic `json:"traffic_of_batches"` // the part of Traffic that does not depend on time
	Idle        []TrafficPart    `json:"idle_month"`         // the cost of programs that run for 30 days with nothing to do
	Largest     int              `json:"largest_message_bytes"`
	Streams     float64          `json:"stream_bytes"` // stored on the streams at a time, with a sink that keeps up
	ResultBytes float64          `json:"result_bytes"` // stored on them if no sink runs
	Connection  int              `json:"connections"`
	Bounds      []FirstBound     `json:"first_bounds"` // on a free account, and on a server of one's own

	Database  Database            `json:"database"`
	Load      pipeline.Operations `json:"load_operations"`
	Generate  pipeline.Operations `json:"generate_operations"`
	Export    pipeline.Operations `json:"export_operations"`
	PerSecond pipeline.Operations `json:"operations_per_second"` // while it is generated
	RowBytes  float64             `json:"row_bytes"`
}

// A FirstBound is what the run meets first when more GPUs of the same kind are added.
type FirstBound struct {
	Hosted bool   `json:"hosted"` // on a free account; else on a server of one's own
	Name   string `json:"name"`
	GPUs   int    `json:"gpus"`   // that are the most
	SetIn  string `json:"set_in"` // where the bound is set
	AtIt   string `json:"at_it"`  // what happens to what is beyond it
	Met    bool   `json:"met"`    // the GPUs of the plan are more
}

// Basis is what an estimate is based on.
type Basis struct {
	Batches      int     `json:"batches_weighed"`
	Answers      int     `json:"answers_weighed"` // 0: their length is an assumption
	AnswerTokens float64 `json:"answer_tokens"`   // of each
	AnswerBytes  float64 `json:"answer_bytes"`
	PromptBytes  float64 `json:"prompt_bytes"`
}

// A TrafficPart is a part of the traffic.
type TrafficPart struct {
	What string `json:"what"`
	pipeline.Traffic
}

// A Database is the size of documents with their index entries.
type Database struct {
	Items   float64 `json:"items_bytes"`
	Batches float64 `json:"batches_bytes"`
	Results float64 `json:"results_bytes"`
}

// Bytes returns the sum.
func (d Database) Bytes() float64 { return d.Items + d.Batches + d.Results }

// Estimate returns what the run costs according to the batches that were weighed. Without any it
// returns an error.
func (p *Planner) Estimate() (Estimate, error) {
	run, f, s := p.cfg.Run, p.cfg.Fleet, p.weighed
	if s.batches == 0 {
		return Estimate{}, errors.New("plan: no batch was weighed")
	}
	scale := float64(run.Batches) / float64(s.batches) // of all batches to those that were weighed
	each := float64(run.Generations) / float64(s.generations)
	e := Estimate{
		Run: run.Name, Model: run.Spec.Model, Items: run.Items, Skipped: run.Spec.Dataset.Skipped, Samples: run.Spec.Samples, Generations: run.Generations, Batches: run.Batches, Fleet: f,
		Basis: Basis{
			Batches: s.batches, Answers: len(p.cfg.Answers), AnswerTokens: share(s.outputTokens, s.generations),
			AnswerBytes: share(s.textBytes, s.generations), PromptBytes: share(s.promptBytes, s.generations),
		},
		OutputTokens: float64(s.outputTokens) * each, Largest: s.largest,
		Connection: f.Consumers + 2, RowBytes: p.cfg.RowBytes,
	}
	for _, hosted := range []bool{true, false} {
		b := pipeline.FirstBound(p.shape, hosted)
		e.Bounds = append(e.Bounds, FirstBound{Hosted: hosted, Name: b.Name, GPUs: b.GPUs, SetIn: b.SetIn, AtIt: b.AtIt, Met: f.Consumers*f.GPUs > b.GPUs})
	}
	e.GPUSeconds = e.OutputTokens / f.TokensPerSecond
	e.Seconds = e.GPUSeconds / float64(f.Consumers*f.GPUs)
	e.Streams = float64(s.workStored)/float64(s.batches)*float64(min(run.Batches, p.cfg.Window)) + float64(s.resStored)*scale/max(1, e.Seconds/2)
	e.ResultBytes = float64(s.resStored) * scale
	if err := p.addTraffic(&e, scale); err != nil {
		return Estimate{}, err
	}
	return e, p.addStorage(&e, scale, each)
}

func share(sum, of int) float64 { return float64(sum) / float64(max(1, of)) }

// addTraffic adds up the traffic.
func (p *Planner) addTraffic(e *Estimate, scale float64) error {
	run, s, engines := p.cfg.Run.Name, p.weighed, p.cfg.Engines
	often := func(every time.Duration) float64 { return e.Seconds / every.Seconds() }
	consumers := p.consumers()
	presence, err := p.traffic.Presence(consumers[0])
	if err != nil {
		return err
	}
	heard, err := p.traffic.Heard(consumers[0])
	if err != nil {
		return err
	}
	work, results := s.work.Times(scale), s.results.Times(scale)
	e.PerBatch = work.Plus(results)
	lease := p.cfg.Lease
	n := float64(p.cfg.Fleet.Consumers)
	e.Parts = []TrafficPart{
		{"batches to the GPUs", work},
		{"answers to the store", results},
		{"leases renewed", p.traffic.Renewal(run).Times(s.renewals * scale)},
		{"consumers' reports", presence.Plus(heard.Times(listeners)).Times(n * (often(lease) + 3)).Plus(p.traffic.Look(run).Times(n * (often(engines.RunAsk) + 1)))},
		{"the sink asks", p.traffic.SinkPull(engines.SinkFlush).Times(often(engines.SinkFlush) + 1).Plus(p.traffic.MirrorPull(engines.MirrorPull).Times(often(engines.MirrorPull) + 1)).
			Plus(p.traffic.Look("sink").Times(2 * (often(engines.DurableRefresh) + 1)))},
		{"the producer watches the queue", p.watching(e.Seconds)},
		{"connections", p.traffic.Connection(run).Plus(p.traffic.KeepAlive().Times(e.Seconds / 3600)).Times(float64(e.Connection))},
	}
	for _, part := range e.Parts {
		e.Traffic = e.Traffic.Plus(part.Traffic)
	}
	pull, lasts := p.traffic.IdlePull(run)
	in := func(every time.Duration) float64 { return float64(month) / float64(every) }
	alive, watch := p.traffic.KeepAlive().Times(in(time.Hour)), heard.Times(n*in(lease))
	e.Idle = []TrafficPart{
		{"a sink", p.traffic.SinkPull(engines.SinkIdlePull).Times(in(engines.SinkIdlePull)).Plus(p.traffic.MirrorPull(engines.MirrorPull).Times(in(engines.MirrorPull))).
			Plus(p.traffic.Look("sink").Times(2 * in(engines.DurableRefresh))).Plus(watch).Plus(alive)},
		{"a consumer", pull.Times(float64(p.cfg.Fleet.GPUs) * in(lasts)).Plus(presence.Times(in(lease))).Plus(p.traffic.Look(run).Times(in(engines.RunAsk))).Plus(alive)},
		{"a producer that follows a run", p.traffic.Look(run).Times(in(lease)).Plus(watch).Plus(alive)},
	}
	return nil
}

// listeners is how many programs hear the consumers' reports: the sink, and who follows the run.
const listeners = 2

// watching is the traffic of the questions that the producer asks while it follows the run: is
// there room on the queue, are the streams there, and where are the batches that were published
// three leases ago and earlier.
func (p *Planner) watching(seconds float64) pipeline.Traffic {
	run, lease, engines := p.cfg.Run.Name, p.cfg.Lease.Seconds(), p.cfg.Engines
	most := float64(engines.MostPolls)
	batches, window := float64(p.cfg.Run.Batches), float64(min(p.cfg.Run.Batches, p.cfg.Window))
	waiting := seconds * (1 - window/batches) // while the window is full
	looks := batches / float64(engines.PublishChunk)
	if waiting > 0 {
		refills := (batches - window) / max(1, window/float64(engines.Refill))
		each := waiting / refills
		looks += refills * (math.Log2(1+min(each, most)) + each/most)
	}
	t := p.traffic.Depth(run).Times(looks).Plus(p.traffic.Ensure(run)).Plus(p.traffic.Look(run).Times(seconds / lease))
	list := func(entries float64) pipeline.Traffic {
		return p.traffic.Queued(run, int(entries)).Plus(p.traffic.Search(run).Times(batches / max(1, seconds) * betweenSeconds))
	}
	// Reconcile searches for a page of batches again after the time that it has known them, but
	// after 3 leases at least and 12 at most.
	pages := math.Ceil(window / float64(engines.StorePage))
	t = t.Plus(list(window).Times(waiting / (3 * lease) * (1 + (pages-1)/4)))
	drain := seconds - waiting
	for age := 3 * lease; age < drain; age += min(max(age, 3*lease), 12*lease) {
		left := window * (1 - age/drain)
		t = t.Plus(list(left).Times(math.Ceil(left / float64(engines.StorePage))))
	}
	return t
}

// consumers returns typical reports of the consumers.
func (p *Planner) consumers() []pipeline.Presence {
	f := p.cfg.Fleet
	c := pipeline.Presence{
		ID: anyULID, Run: p.cfg.Run.Name, Host: "0123456789ab", Tokens: true, Version: "v0.0.0-20260101000000-0123456789ab", ServerVersion: "0.12.0", Model: p.cfg.Run.Spec.Model,
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

// addStorage adds up the documents and the operations of the store.
func (p *Planner) addStorage(e *Estimate, scale, each float64) error {
	run, s, engines := p.cfg.Run, p.weighed, p.cfg.Engines
	bare, err := p.storage.Item(pipeline.Item{Run: run.Name})
	if err != nil {
		return err
	}
	e.Database = Database{
		Items:   float64(run.Items) * (float64(bare) + p.cfg.RowBytes),
		Batches: float64(s.batchDocs) * scale,
		Results: float64(s.resultDocs) * each,
	}
	e.Load = p.storage.Load(run.Items, run.Batches)
	e.Export = p.storage.Export(run.Items, run.Generations)
	// A write takes the results of one second. If batches end less often there is one write for
	// each of them.
	seconds := max(e.Seconds, 1)
	writes := seconds * (1 - math.Exp(-float64(run.Batches)/seconds))
	looks := pipeline.Operations{Commands: 2, Statements: 2} // each write is checked first; each look of the producer reads the run and counts
	write := p.storage.Write(float64(run.Generations)/writes, float64(run.Batches)/writes)
	reads := float64(run.Batches)/float64(engines.PublishChunk)*2 + float64(run.Items)/float64(engines.MostItems)
	e.Generate = write.Plus(looks).Times(writes).
		Plus(looks.Times(seconds / engines.Poll.Seconds())).
		Plus(pipeline.Operations{Commands: reads, Statements: reads}).
		Plus(pipeline.Operations{Commands: 1, Statements: float64(p.cfg.Fleet.Consumers)}.Times(seconds / engines.PresenceEvery.Seconds())).
		Plus(pipeline.Operations{Commands: 4, Statements: 4}.Times(seconds / p.cfg.Lease.Seconds()))
	e.PerSecond = e.Generate.Times(1 / seconds)
	return nil
}
