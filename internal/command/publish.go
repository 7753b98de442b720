package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/advice"
	"gleaner/internal/cli"
	"gleaner/internal/ownership"
	"gleaner/internal/pipeline"
	"gleaner/internal/producer"
	"gleaner/internal/status"
	"gleaner/internal/store"
	"gleaner/internal/stream"
	"gleaner/internal/telemetry/metrics"
	"gleaner/internal/view"
)

// Publish is the command publish: planned batches of a run → the queue.
type Publish struct {
	cli.StoreFlags    `embed:""`
	cli.NATSFlags     `embed:""`
	cli.StreamFlags   `embed:""`
	cli.HTTPFlags     `embed:""`
	cli.LogFlags      `embed:""`
	cli.ProgressFlags `embed:""`
	Name              string        `name:"run" required:"" placeholder:"NAME" help:"Name of the run."`
	Window            int           `help:"Batches on the queue at a time, at most. Default: 2,000, or three for each worker that is present if that is more; a GPU has two workers more than slots."`
	Follow            bool          `help:"Stay until every generation is stored or dead. Exits 3 if some have no answer."`
	Lease             time.Duration `default:"90s" help:"A batch goes to another worker when its worker gave no sign of life for this long."`
	MaxBytes          cli.Size      `env:"GLEANER_MAX_BYTES" placeholder:"SIZE" help:"Room for all streams together, such as 2GiB. Streams that are there are enlarged to it, never made smaller. Default: what the NATS account allows, at most 4GiB, and no change."`
	TakeOver          bool          `byhand:"" help:"Take the streams from another store that is given up: say which runs are on them, and with --yes remove those of the other store. Refused while one of them is in use."`
	Yes               bool          `byhand:"" help:"With --take-over: do it."`
	MaxFailures       string        `placeholder:"N|P%" help:"With --follow: pause the run, and end with exit code 1, when this many generations have failed, or this part of all that ended. Nothing is given up. off: never. Default: when the first 20 have all failed, or half of the first 200."`
	JSON              bool          `name:"json" help:"Print the summary as JSON."`
}

// Run publishes what is planned; with Follow it stays until the run is done.
func (c *Publish) Run(ctx context.Context, t *cli.Terminal) error {
	progress := view.NewProgress(t, c.ProgressFlags)
	log, err := c.Logger(t)
	if err != nil {
		return err
	}
	cli.RunsFlags{Store: c.Store}.Advise()
	store, err := awaitStore(ctx, c.StoreFlags, false, log)
	if err != nil {
		return err
	}
	defer store.Close()
	run, err := c.read(ctx, log, store)
	if err == nil {
		err = producer.Publishable(run) // only a run that is open makes streams
	}
	if err != nil {
		return err
	}
	config := streamConfig(c.NATSFlags, c.Lease, log)
	config.Patient, config.Replicas, config.MaxBytes, config.Enlarge = true, c.Replicas, int64(c.MaxBytes), c.MaxBytes > 0
	conn, err := stream.Connect(ctx, config)
	if err != nil {
		return err
	}
	defer conn.Close()
	guard := ownership.New(ownership.Publisher, store, conn, log)
	conn.GuardWith(guard.Confirm)
	if c.TakeOver {
		if done, err := c.takeOver(ctx, t, guard); !done || err != nil {
			return err
		}
	}
	if err := outlast(ctx, log, "make the streams", conn.Ensure); err != nil {
		return err
	}
	ctx, unwatch := guard.Watch(ctx)
	defer unwatch()
	if err := c.publish(ctx, t, progress, parts{store: store, conn: conn, run: run, log: log}); err != nil {
		return cmp.Or(ownership.Refusal(ctx), err)
	}
	return nil
}

// takeOver takes the streams from another store, or says what that would remove. It reports whether
// they can be used now.
func (c *Publish) takeOver(ctx context.Context, t *cli.Terminal, guard *ownership.Guard) (done bool, err error) {
	report, err := guard.TakeOver(ctx, c.Yes)
	if err == nil && report.From == "" {
		return true, nil
	}
	fmt.Fprint(t.Err, view.TakeOver(report))
	return report.Done, err
}

// The parts of a publish.
type parts struct {
	store store.Store
	conn  *stream.Conn
	run   pipeline.Run
	log   *zap.Logger
}

func (c *Publish) publish(ctx context.Context, t *cli.Terminal, progress *view.Progress, p parts) error {
	store, conn, run, log := p.store, p.conn, p.run, p.log
	registry := metrics.NewRegistry()
	stop, err := serveHTTP(c.HTTP, registry, conn.Healthy, log)
	if err != nil {
		return err
	}
	defer stop()
	limit, err := failureLimit(c.MaxFailures)
	if err != nil {
		return err
	}
	publisher, err := producer.NewPublisher(producer.Config{
		Window: c.Window, Metrics: producer.NewMetrics(registry), Log: log, MaxFailures: limit, PauseRun: producer.NewControl(store, conn).Pause,
	}, store, conn)
	if err != nil {
		return err
	}
	if !c.Follow {
		if err := publisher.PublishAll(ctx, run); err != nil {
			return err
		}
		snapshot, err := c.snapshot(ctx, log, store, nil)
		if err != nil {
			return err
		}
		return c.summary(t, snapshot, publisher.Published())
	}
	engine, err := newReconciler(store, conn, c.Lease, log)
	if err != nil {
		return err
	}
	follower, roll := status.NewFollower(conn, nil), status.Roll{}
	final, err := publisher.FollowToEnd(ctx, run, engine, func(look producer.Look) {
		snapshot := follower.Look(ctx, look.Run, look.Progress, look.Away, time.Now())
		if progress.Due() {
			snapshot.Unstored = min(engine.Unstored(run.Name)*max(1, run.Spec.Batch), run.Generations-look.Progress.Stored)
			snapshot.Fleet(ctx, conn, &roll)
			progress.Run(snapshot)
		}
	})
	progress.Clear()
	tooMany, isPaused := errors.AsType[*producer.TooManyFailures](err)
	if err != nil && !isPaused {
		return err
	}
	snapshot, err := c.snapshot(ctx, log, store, conn)
	if err != nil {
		return err
	}
	if isPaused {
		return paused(t, c.JSON, tooMany, snapshot, fmt.Sprintf("The same command goes on; whatever fails: `%s`",
			advice.Command("publish", "--run", c.Name, "--follow", "--max-failures", "off")))
	}
	if err := c.summary(t, snapshot, publisher.Published()); err != nil {
		return err
	}
	if err := producer.Unanswered(run.Name, final, view.Reasons(snapshot.Failures)); err != nil {
		if !c.JSON {
			_ = view.Print(t.Err, view.Failures(snapshot.Failures, t.TalkColumns())) // as all talk
		}
		return &cli.Exit{Code: cli.DeadLetters, Err: err}
	}
	return nil
}

// read reads the run, as soon as the store lets it.
func (c *Publish) read(ctx context.Context, log *zap.Logger, store store.Store) (run pipeline.Run, err error) {
	err = outlast(ctx, log, "read the run", func(ctx context.Context) (err error) {
		run, err = helpful{store}.Run(ctx, c.Name)
		return err
	})
	return run, err
}

// snapshot says how far the run is, as soon as the servers let it. Without streams it is what the
// store alone knows.
func (c *Publish) snapshot(ctx context.Context, log *zap.Logger, store store.Store, streams status.Streams) (snapshot status.Snapshot, err error) {
	err = outlast(ctx, log, "read how the run ended", func(ctx context.Context) (err error) {
		snapshot, err = status.Take(ctx, store, streams, c.Name, time.Now())
		return err
	})
	return snapshot, err
}

// A publishSummary is what was published of a run, and how far it is.
type publishSummary struct {
	Published int `json:"published"` // batches
	status.Snapshot
}

// summary prints what was published and how far the run is.
func (c *Publish) summary(t *cli.Terminal, snapshot status.Snapshot, published int) error {
	if c.JSON {
		return cli.PrintJSON(t.Out, publishSummary{published, snapshot})
	}
	_, err := fmt.Fprintf(t.Out, "run %s: %s published; %s of %s generations done\n", c.Name,
		view.Plural(published, "batch", "batches"), view.Count(snapshot.Stored), view.Count(snapshot.Generations))
	if worked := view.Worked(snapshot); c.Follow && worked != "" {
		fmt.Fprintf(t.Out, "%s: %s; %s\n", snapshot.State, view.Tokens(snapshot), worked)
	}
	return err
}
