package plan

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

// A tariff has round prices, so that sums can be checked by hand.
type tariff struct{}

func messages(n float64) pipeline.Traffic {
	return pipeline.Traffic{Messages: n, Bytes: 10 * n, Wire: 20 * n}
}

func (tariff) Work(w pipeline.Work) (pipeline.Traffic, int, int, error) {
	return messages(6), len(w.Generations[0].Prompt()), 100, nil
}
func (tariff) Results(r pipeline.Results) (pipeline.Traffic, int, error) { return messages(4), 50, nil }
func (tariff) Renewal(string) pipeline.Traffic                           { return messages(2) }
func (tariff) Presence(pipeline.Presence) (pipeline.Traffic, error)      { return messages(2), nil }
func (tariff) Heard(pipeline.Presence) (pipeline.Traffic, error)         { return messages(1), nil }
func (tariff) IdlePull(string) (pipeline.Traffic, time.Duration) {
	return messages(4), 30 * time.Second
}
func (tariff) SinkPull(time.Duration) pipeline.Traffic   { return messages(2) }
func (tariff) MirrorPull(time.Duration) pipeline.Traffic { return messages(2) }
func (tariff) Look(string) pipeline.Traffic              { return messages(2) }
func (tariff) Depth(string) pipeline.Traffic             { return messages(6) }
func (tariff) Ensure(string) pipeline.Traffic            { return messages(14) }
func (tariff) Queued(string, int) pipeline.Traffic       { return messages(2) }
func (tariff) Search(string) pipeline.Traffic            { return messages(4) }
func (tariff) Connection(string) pipeline.Traffic        { return messages(28) }
func (tariff) KeepAlive() pipeline.Traffic               { return pipeline.Traffic{Wire: 100} }

type shelf struct{}

func (shelf) Item(i pipeline.Item) (int, error)   { return 50 + len(i.Input), nil }
func (shelf) Batch(b pipeline.Batch) (int, error) { return 200, nil }
func (shelf) Result(_ pipeline.Results, r pipeline.Result) (int, error) {
	return 300 + len(r.Text), nil
}
func (shelf) Load(items, batches int) pipeline.Operations {
	return pipeline.Operations{Commands: 2, Statements: float64(items + batches)}
}
func (shelf) Write(results, batches float64) pipeline.Operations {
	return pipeline.Operations{Commands: 2, Statements: results + batches}
}
func (shelf) Export(items, results int) pipeline.Operations {
	return pipeline.Operations{Commands: 1, Statements: 1}
}

// prices are the meters of the tests.
func prices() Meters { return Meters{tariff{}, shelf{}} }

// engines returns the engines' constants.
func engines() Engines {
	return Engines{
		SinkFlush: time.Second, SinkIdlePull: 5 * time.Second, MirrorPull: 10 * time.Second, PresenceEvery: 15 * time.Second, DurableRefresh: 5 * time.Minute, RunAsk: 2 * time.Minute,
		Poll: time.Second, MostPolls: 16, Refill: 20, PublishChunk: 100, MostItems: 256, StorePage: 1000,
	}
}

// works returns the messages of batches with this many generations each.
func works(batches, each int) []pipeline.Work {
	var all []pipeline.Work
	for i := range batches {
		all = append(all, workAt(i, each))
	}
	return all
}

func workAt(batch, each int) pipeline.Work {
	w := pipeline.Work{Run: "r", Batch: batch, Round: 1, Model: "m"}
	for i := range each {
		w.Generations = append(w.Generations, pipeline.Generation{
			Index: i, Item: batch*each + i, Messages: pipeline.User(fmt.Sprintf("What is %d and %d?", batch, i)),
		})
	}
	return w
}

// estimate plans a run of which every step-th batch is weighed.
func estimate(t *testing.T, cfg Config, step int) Estimate {
	t.Helper()
	cfg.Engines = engines()
	p, err := New(cfg, prices())
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range works(cfg.Run.Batches, cfg.Run.Generations/cfg.Run.Batches) {
		if i%step == 0 {
			if err := p.Weigh(w); err != nil {
				t.Fatal(err)
			}
		}
	}
	e, err := p.Estimate()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func run(batches int) pipeline.Run {
	return pipeline.Run{Name: "r", Items: 8 * batches, Generations: 8 * batches, Batches: batches, Spec: pipeline.Spec{Model: "m", Samples: 1, Batch: 8}}
}

func TestAnEstimateIsTheSumOfItsParts(t *testing.T) {
	// 1,000 batches of 8 answers of 200 tokens on 2 GPUs of 160 tokens a second: 5,000 s.
	e := estimate(t, Config{Run: run(1000), RowBytes: 150, Fleet: Fleet{TokensPerSecond: 160}}, 1)
	if e.OutputTokens != 1_600_000 || e.Seconds != 5000 || e.GPUSeconds != 10_000 || e.Connection != 3 {
		t.Errorf("tokens %v, seconds %v, GPU seconds %v, connections %d", e.OutputTokens, e.Seconds, e.GPUSeconds, e.Connection)
	}
	want := map[string]float64{
		"batches to the GPUs":  6 * 1000,
		"answers to the store": 4 * 1000,
		// A batch takes 80 s of a slot and is held for 100 s, as 10 workers share 8 slots: 3.3
		// thirds of a lease.
		"leases renewed":     2 * 1000 * (100./30 - 0.5),
		"consumers' reports": (2+2)*(5000./90+3) + 2*(5000./120+1), // each is heard twice
		"the sink asks":      2*5001 + 2*501 + 2*2*(5000./300+1),
		// Reconcile lists the queue, and searches for batches on their way, when batches are 3, 6,
		// 12, 24, 36 and 48 leases old.
		"the producer watches the queue": 6*10 + 14 + 2*5000./90 + 6*(2+4*1000/5000.*2.5),
		"connections":                    28 * 3,
	}
	is, sum := map[string]float64{}, pipeline.Traffic{}
	for _, part := range e.Parts {
		is[part.What] = part.Messages
		sum = sum.Plus(part.Traffic)
	}
	if diff := cmp.Diff(want, is, cmp.Comparer(near)); diff != "" {
		t.Errorf("messages (-want +is):\n%s", diff)
	}
	if sum != e.Traffic || e.PerBatch != messages(10*1000) {
		t.Errorf("the parts make %+v, the total is %+v, of batches %+v", sum, e.Traffic, e.PerBatch)
	}
	database := Database{Items: 8000 * 200, Batches: 1000 * 200, Results: 8000 * (300 + 800)}
	if diff := cmp.Diff(database, e.Database); diff != "" {
		t.Errorf("the database (-want +is):\n%s", diff)
	}
}

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-6*math.Abs(a) }

func TestASampleStandsForTheWholeRun(t *testing.T) {
	cfg := Config{Run: run(1000), RowBytes: 150, Fleet: Fleet{Consumers: 3, GPUs: 1, Slots: 4, TokensPerSecond: 100}}
	whole, part := estimate(t, cfg, 1), estimate(t, cfg, 10)
	part.Basis = whole.Basis
	if diff := cmp.Diff(whole, part, cmp.Comparer(near)); diff != "" {
		t.Errorf("every tenth batch says otherwise than all (-all +tenth):\n%s", diff)
	}
}

func TestStoredAnswersSayHowLongAndHowFast(t *testing.T) {
	answers := []pipeline.StoredResult{
		{Result: pipeline.Result{Text: strings.Repeat("a", 100), OutputTokens: 30, DurationMS: 1500}},
		{Result: pipeline.Result{Text: strings.Repeat("b", 300), OutputTokens: 50, DurationMS: 2500}},
	}
	e := estimate(t, Config{Run: run(100), Answers: answers, AnswerTokens: 1000}, 1)
	if e.Basis.Answers != 2 || e.Basis.AnswerTokens != 40 || e.Basis.AnswerBytes != 200 {
		t.Errorf("the basis is %+v, want two answers of 40 tokens and 200 bytes on average", e.Basis)
	}
	if !e.Fleet.Measured || e.Fleet.TokensPerSecond != 160 { // 80 tokens in 4 s, in each of 8 slots
		t.Errorf("the fleet is %+v, want 160 tokens a second, measured", e.Fleet)
	}
	said := estimate(t, Config{Run: run(100), Answers: answers, Fleet: Fleet{TokensPerSecond: 99}}, 1)
	if said.Fleet.Measured || said.Fleet.TokensPerSecond != 99 {
		t.Errorf("the fleet is %+v, want what was said", said.Fleet)
	}
}

func TestWhatDoesNotFitIsNamedWithAWayOut(t *testing.T) {
	small := estimate(t, Config{Run: run(1000), RowBytes: 150}, 1)
	for _, c := range small.Checks() {
		if !c.Fits || c.Advice != "" {
			t.Errorf("a small run does not fit: %+v", c)
		}
	}
	large := small
	large.Traffic.Wire, large.Seconds, large.Largest, large.Connection, large.Streams = 20<<30, 1e6, 2<<20, 12, 6<<30
	large.Database.Results = 1 << 30
	large.PerSecond = pipeline.Operations{Commands: 200, Statements: 300}
	for _, c := range large.Checks() {
		if c.Fits || c.Advice == "" {
			t.Errorf("a large run fits, or there is no advice: %+v", c)
		}
	}
	long := small
	long.Traffic.Wire, long.Seconds = 20<<30, 61*24*3600
	if c := long.Checks()[0]; !c.Fits {
		t.Errorf("20 GiB in two months do not fit into 10 GiB a month: %+v", c)
	}
}

func TestAnswersThatAreAssumedHaveTheirLength(t *testing.T) {
	a := newAnswers(Config{AnswerTokens: 50, Fleet: Fleet{TokensPerSecond: 80, Slots: 8}})
	for _, w := range works(3, 8) {
		for i, r := range a.to(w).Results {
			if len(r.Text) != 200 || r.OutputTokens != 50 || r.DurationMS != 5000 || r.Index != i {
				t.Fatalf("an answer of 50 tokens is %+v", r)
			}
		}
	}
}

func TestAPlanNeedsARun(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no run":         {},
		"no batches":     {Run: pipeline.Run{Generations: 1}},
		"negative slots": {Run: run(1), Fleet: Fleet{Slots: -1}},
		"no window":      {Run: run(1), Window: -2},
	} {
		cfg.Window, cfg.Engines = cfg.Window+1, engines()
		if _, err := New(cfg, prices()); err == nil {
			t.Errorf("%s: there is no error", name)
		}
	}
	if _, err := New(Config{Run: run(1), Window: 1, Engines: engines()}, Meters{}); err == nil {
		t.Error("without prices there is no error")
	}
	unset := engines()
	unset.PresenceEvery = 0
	if _, err := New(Config{Run: run(1), Window: 1, Engines: unset}, prices()); err == nil || !strings.Contains(err.Error(), "PresenceEvery") {
		t.Errorf("without one of the engines' constants: %v", err)
	}
	p, err := New(Config{Run: run(1), Window: 1, Engines: engines()}, prices())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Estimate(); err == nil {
		t.Error("an estimate without a batch is no error")
	}
}

func TestAPlanNamesTheFirstBound(t *testing.T) {
	for name, c := range map[string]struct {
		fleet   Fleet
		met     bool
		account string
		own     string
	}{
		"a few notebooks": {Fleet{Consumers: 4, GPUs: 2, Slots: 8}, false, "connections at 16", "waiting pulls at 1024"},
		"too many":        {Fleet{Consumers: 9, GPUs: 2, Slots: 8}, true, "connections at 16", "waiting pulls at 1024"},
	} {
		t.Run(name, func(t *testing.T) {
			e := estimate(t, Config{Run: run(20_000), Fleet: c.fleet}, 100)
			text := func(b FirstBound) string { return fmt.Sprintf("%s at %d", b.Name, b.GPUs) }
			if len(e.Bounds) != 2 || text(e.Bounds[0]) != c.account || text(e.Bounds[1]) != c.own || e.Bounds[0].Met != c.met || e.Bounds[1].Met {
				t.Errorf("%+v", e.Bounds)
			}
		})
	}
}
