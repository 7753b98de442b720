package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gleaner/internal/cli"
	"gleaner/internal/dataset"
	"gleaner/internal/pipeline"
	"gleaner/internal/plan"
	"gleaner/internal/producer"
	"gleaner/internal/store"
	"gleaner/internal/stream"
)

// planCmd is the command producer plan: what a run will cost, before anything is spent.
type planCmd struct {
	cli.Spec        `embed:""`
	Store           string        `env:"MONGODB_URI" placeholder:"URI" help:"Where a loaded run and its answers are, as for the other commands. A dataset needs none."`
	Name            string        `name:"run" placeholder:"NAME" help:"Plan this loaded run, with the lengths and times of the answers that it has. With --input: the name that the run will have."`
	Like            string        `placeholder:"RUN" help:"Take lengths and times from the answers of this run, which has the same model and such prompts: load a few rows under another name, let them be answered, then plan all."`
	AnswerTokens    int           `default:"200" help:"Tokens of an answer, where there are none to look at."`
	Consumers       int           `default:"1" help:"Consumers at a time: notebooks."`
	GPUsEach        int           `name:"gpus-each" default:"2" help:"GPUs of each consumer."`
	Slots           int           `default:"8" help:"Slots of each GPU."`
	TokensPerSecond float64       `placeholder:"T" help:"Tokens a second of each GPU, all its slots together. Default: by the answers' own times, or 160, an estimate of a 7B model in four bits on a T4."`
	Window          int           `default:"2000" help:"Batches on the queue at a time, as for producer publish."`
	Lease           time.Duration `default:"90s" help:"After how long without a sign of life a batch goes to another worker, as for producer publish."`
	JSON            bool          `name:"json" help:"Print the estimate as JSON."`
}

// answersAtMost is how many stored answers an estimate takes its lengths from.
const answersAtMost = 500

func (c *planCmd) Run(ctx context.Context, t *cli.Terminal) (err error) {
	if c.Consumers < 1 || c.GPUsEach < 1 || c.Slots < 1 || c.Window < 1 || c.AnswerTokens < 1 || c.TokensPerSecond < 0 || c.Lease < time.Second {
		return cli.Usage("consumers, gpus-each, slots, window, answer-tokens and tokens-per-second have to be positive, and lease a second or more")
	}
	if c.Input == "" && c.Name == "" {
		return cli.Usage("nothing to plan: give a dataset (--input FILE, with the flags of producer load) or a loaded run (--run NAME)")
	}
	var books store.Store
	if c.Input == "" || c.Like != "" {
		if c.Store == "" {
			return cli.Usage("missing flags: --store=URI, or MONGODB_URI in the environment: that is where runs are")
		}
		if books, err = store.Open(ctx, c.Store); err != nil {
			return err
		}
		defer books.Close()
	}
	planner, err := c.planner(ctx, t, books)
	if err != nil {
		return err
	}
	estimate, err := planner.Estimate()
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(t.Out).Encode(struct {
			plan.Estimate
			Checks []plan.Check `json:"checks"`
		}{estimate, estimate.Checks()})
	}
	_, err = fmt.Fprint(t.Out, planTable(estimate))
	return err
}

// planner returns a planner that has weighed what is to be planned.
func (c *planCmd) planner(ctx context.Context, t *cli.Terminal, books store.Store) (*plan.Planner, error) {
	if c.Input != "" {
		return c.ofDataset(ctx, t, books)
	}
	run, err := books.Run(ctx, c.Name)
	if err != nil {
		return nil, err
	}
	if run.State == pipeline.RunLoading || run.Batches == 0 {
		return nil, fmt.Errorf("run %s is not loaded completely: repeat `producer load`, or plan its dataset with --input", run.Name)
	}
	return c.ofRun(ctx, books, run)
}

// new returns a planner that has weighed nothing yet.
func (c *planCmd) new(ctx context.Context, books store.Store, run pipeline.Run, rowBytes float64, like string) (*plan.Planner, error) {
	var given []pipeline.StoredResult
	if like != "" {
		sample, err := books.SampleAnswers(ctx, like, answersAtMost, true)
		if err != nil {
			return nil, err
		}
		for _, a := range sample {
			given = append(given, *a.Result)
		}
	}
	if c.Like != "" && len(given) == 0 {
		return nil, fmt.Errorf("run %s has no answers yet: let some be generated, or plan without --like", c.Like)
	}
	meter, err := stream.NewTrafficMeter()
	if err != nil {
		return nil, err
	}
	return plan.New(plan.Config{
		Run: run, RowBytes: rowBytes, Answers: given, AnswerTokens: c.AnswerTokens, Window: c.Window, Lease: c.Lease,
		Fleet: plan.Fleet{Consumers: c.Consumers, GPUs: c.GPUsEach, Slots: c.Slots, TokensPerSecond: c.TokensPerSecond},
	}, meter, store.Meter{})
}

// ofDataset weighs the batches that a dataset would be cut into.
func (c *planCmd) ofDataset(ctx context.Context, t *cli.Terminal, books store.Store) (*plan.Planner, error) {
	spec, err := c.Spec.Spec()
	if err != nil {
		return nil, err
	}
	source, err := dataset.NewSource(c.Input, t.In)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	data := producer.Dataset{Name: source.Name(), Limit: c.Limit, Open: func() (producer.Rows, error) { return source.Open() }}
	progress := cli.NewProgress(t)
	name := c.Name
	if name == "" {
		name = "planned-run"
	}
	survey, err := producer.RunPreflight(ctx, name, spec, data, func(rows int) {
		if progress.Due() {
			progress.Show(fmt.Sprintf("reading %s: %s rows", data.Name, cli.Count(rows)))
		}
	})
	progress.Clear()
	if err != nil {
		return nil, err
	}
	// How many batches there are is known when the dataset has been cut once.
	none := func(int) bool { return false }
	if survey.Run.Batches, err = producer.Cut(ctx, survey, data, none, nil); err != nil {
		return nil, err
	}
	planner, err := c.new(ctx, books, survey.Run, float64(survey.RowBytes)/float64(survey.Run.Items), c.Like)
	if err != nil {
		return nil, err
	}
	step := stepOf(survey.Run)
	_, err = producer.Cut(ctx, survey, data, func(batch int) bool { return batch%step == 0 }, planner.Weigh)
	return planner, err
}

// stepOf returns every how many-th batch of a run is weighed.
func stepOf(run pipeline.Run) int { return max(1, run.Batches/plan.SampleBatches) }

// ofRun weighs batches of a loaded run.
func (c *planCmd) ofRun(ctx context.Context, books store.Store, run pipeline.Run) (*plan.Planner, error) {
	like := c.Like
	if like == "" {
		like = run.Name
	}
	rows := &rowMeter{Store: books}
	works, err := producer.NewWorkBuilder(rows, run)
	if err != nil {
		return nil, err
	}
	var made []pipeline.Work
	for at, step := 0, stepOf(run); at < run.Batches; at += step {
		batches, err := books.BatchesAt(ctx, run.Name, []int{at})
		if err != nil {
			return nil, err
		}
		for i := range batches {
			batches[i].Done, batches[i].Round = nil, 1 // as it was, or will be, published first
		}
		if len(batches) == 0 {
			return nil, fmt.Errorf("batch %s is missing in the store", pipeline.BatchID(run.Name, at))
		}
		w, err := works.Build(ctx, batches)
		if err != nil {
			return nil, err
		}
		made = append(made, w...)
	}
	planner, err := c.new(ctx, books, run, float64(rows.bytes)/float64(max(1, rows.rows)), like)
	for _, w := range made {
		err = errors.Join(err, planner.Weigh(w))
	}
	return planner, err
}

// A rowMeter is a store that counts the rows that are read from it.
type rowMeter struct {
	store.Store
	rows, bytes int
}

func (m *rowMeter) Items(ctx context.Context, run string, first, count int) ([]pipeline.Item, error) {
	items, err := m.Store.Items(ctx, run, first, count)
	for _, i := range items {
		m.rows++
		m.bytes += len(i.Input)
	}
	return items, err
}
