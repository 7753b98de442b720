package command

import (
	"context"
	"fmt"
	"time"

	"gleaner/internal/advice"
	"gleaner/internal/cli"
	"gleaner/internal/consumer"
	"gleaner/internal/pipeline"
	"gleaner/internal/plan"
	"gleaner/internal/producer"
	"gleaner/internal/reconcile"
	"gleaner/internal/sink"
	"gleaner/internal/store"
	"gleaner/internal/stream"
	"gleaner/internal/view"
)

// Plan is the command plan: what a run will cost, before anything is spent.
type Plan struct {
	cli.SpecFlags     `embed:""`
	cli.RunsFlags     `embed:""`
	cli.ProgressFlags `embed:""`
	Name              string        `name:"run" placeholder:"NAME" help:"Plan this loaded run, with the lengths and times of the answers that it has. With --input: the name that the run will have."`
	Like              string        `placeholder:"RUN" help:"Take lengths and times from the answers of this run, which has the same model and such prompts: load a few rows under another name, let them be answered, then plan all."`
	AnswerTokens      int           `default:"200" help:"Tokens of an answer, where there are none to look at."`
	Consumers         int           `default:"1" help:"Consumers at a time: notebooks."`
	GPUsEach          int           `name:"gpus-each" default:"2" help:"GPUs of each consumer."`
	Slots             int           `default:"8" help:"Slots of each GPU."`
	TokensPerSecond   float64       `placeholder:"T" help:"Tokens a second of each GPU, all its slots together. Default: by the answers' own times, or 160, an estimate of a 7B model in four bits on a T4."`
	Window            int           `help:"Batches on the queue at a time, as for producer publish."`
	Lease             time.Duration `default:"90s" help:"After how long without a sign of life a batch goes to another worker, as for producer publish."`
	JSON              bool          `name:"json" help:"Print the estimate as JSON."`
}

// Run prints the estimate.
func (c *Plan) Run(ctx context.Context, t *cli.Terminal) (err error) {
	ctx = brief(ctx)
	if c.Consumers < 1 || c.GPUsEach < 1 || c.Slots < 1 || c.Window < 0 || c.AnswerTokens < 1 || c.TokensPerSecond < 0 || c.Lease < time.Second {
		return cli.Usage("--consumers, --gpus-each, --slots, --answer-tokens and --tokens-per-second have to be positive, --window not negative, and --lease a second or more")
	}
	if !c.HasInput() && c.Name == "" {
		return cli.Usage("nothing to plan: give a dataset (--input FILE, with the flags of `%s`) or a loaded run (--run NAME)", advice.Anywhere("load"))
	}
	var store store.Store
	if !c.HasInput() || c.Like != "" {
		if store, _, err = openRuns(ctx, t, c.RunsFlags); err != nil {
			return err
		}
		defer store.Close()
	}
	estimate, err := c.estimate(ctx, t, store)
	if err != nil {
		return err
	}
	if c.JSON {
		return cli.PrintJSON(t.Out, planned{estimate, estimate.Checks()})
	}
	_, err = fmt.Fprint(t.Out, view.Plan(estimate))
	return err
}

// A planned run is what it will cost, and whether that fits into free accounts.
type planned struct {
	plan.Estimate
	Checks []plan.Check `json:"checks"`
}

// meters returns the meters that weigh messages and documents.
func meters() (plan.Meters, error) {
	traffic, err := stream.NewTrafficMeter()
	return plan.Meters{Traffic: traffic, Storage: store.DocumentMeter{}}, err
}

// estimate weighs what is to be planned. Without a store it plans a dataset by assumed answers.
func (c *Plan) estimate(ctx context.Context, t *cli.Terminal, store store.Store) (plan.Estimate, error) {
	meters, err := meters()
	if err != nil {
		return plan.Estimate{}, err
	}
	cfg := plan.Config{
		AnswerTokens: c.AnswerTokens, Like: c.Like, Window: c.Window, Lease: c.Lease, Engines: engines(),
		Fleet: plan.Fleet{Consumers: c.Consumers, GPUs: c.GPUsEach, Slots: c.Slots, TokensPerSecond: c.TokensPerSecond},
	}
	if c.HasInput() {
		return c.ofDataset(ctx, t, cfg, meters, store)
	}
	if cfg.Run, err = store.Run(ctx, c.Name); err != nil {
		return plan.Estimate{}, err
	}
	progress := view.NewProgress(t, c.ProgressFlags)
	defer progress.Clear()
	cfg.Sampled = func(done, of int) {
		if progress.Due() {
			progress.Show(view.Steps("weighing run "+c.Name, done, of, "batches"))
		}
	}
	return plan.EstimateRun(ctx, cfg, meters, store, func(rows plan.RowReader) (pipeline.BuildFunc, error) {
		return producer.BuildFrom(rows)(cfg.Run)
	})
}

// engines returns the intervals and sizes with which the engines work in a run.
func engines() plan.Engines {
	return plan.Engines{
		SinkFlush: sink.DefaultFlushEvery, SinkIdlePull: sink.IdlePull, MirrorPull: sink.MirrorPull, PresenceEvery: sink.PresenceEvery, DurableRefresh: stream.DurableRefresh, RunAsk: consumer.AskEvery,
		Poll: producer.DefaultPoll, MostPolls: producer.MostPolls, Refill: producer.Refill, PublishChunk: producer.PublishChunk,
		MostItems: producer.MostItems, StorePage: reconcile.PageSize,
	}
}

// ofDataset weighs the batches that a dataset would be cut into.
func (c *Plan) ofDataset(ctx context.Context, t *cli.Terminal, cfg plan.Config, meters plan.Meters, store store.Store) (plan.Estimate, error) {
	spec, err := specOf(ctx, c.SpecFlags)
	if err != nil {
		return plan.Estimate{}, err
	}
	progress := view.NewProgress(t, c.ProgressFlags)
	data, err := openInput(ctx, t, c.SpecFlags, progress)
	if err != nil {
		return plan.Estimate{}, err
	}
	defer data.Close()
	name := c.Name
	if name == "" {
		name = "planned-run"
	}
	checked, err := producer.RunPreflight(ctx, name, spec, data.Dataset, data.watch(progress, "reading"))
	progress.Clear()
	if err != nil {
		return plan.Estimate{}, data.failed(t, err)
	}
	notes(t, data.notes())
	cfg.Run, cfg.RowBytes = checked.Run, float64(checked.RowBytes)/float64(checked.Run.Items)
	defer progress.Clear()
	checked.Dataset = watched(checked.Dataset, data.watch(progress, "cutting"))
	return plan.EstimateDataset(ctx, cfg, meters, store, func(ctx context.Context, take func(int) bool, do func(pipeline.Work) error) (int, error) {
		return producer.Cut(ctx, checked, take, do)
	})
}
