package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"gleaner/internal/cli"
	"gleaner/internal/ownership"
	"gleaner/internal/producer"
	"gleaner/internal/sink"
	"gleaner/internal/stream"
	"gleaner/internal/telemetry/metrics"
	"gleaner/internal/view"
)

// Serve is the command serve: the operator's side in one process. It follows every open run, and
// stores results.
type Serve struct {
	cli.StoreFlags    `embed:""`
	cli.NATSFlags     `embed:""`
	cli.StreamFlags   `embed:""`
	cli.HTTPFlags     `embed:""`
	cli.LogFlags      `embed:""`
	cli.ProgressFlags `embed:""`
	Window            int           `help:"Batches of each run on the queue at a time, at most. Default: 2,000 shared by the open runs, or three for each worker of the run if that is more; a GPU has two workers more than slots."`
	MaxFailures       string        `placeholder:"N|P%" help:"Pause a run when this many generations of it have failed, or this part of all that ended. Nothing is given up, and the other runs go on. off: never. Default: when the first 20 have all failed, or half of the first 200."`
	MaxBytes          cli.Size      `env:"GLEANER_MAX_BYTES" placeholder:"SIZE" help:"Room for all streams together, such as 2GiB. Streams that are there are enlarged to it, never made smaller. Default: what the NATS account allows, at most 4GiB, and no change."`
	Lease             time.Duration `default:"90s" help:"A batch goes to another worker when its worker gave no sign of life for this long."`
	SinkLease         time.Duration `default:"30s" help:"Results go to another sink when this one gave no sign of life for this long."`
	FlushEvery        time.Duration `default:"1s" help:"How long results wait for others to be written with."`
	Report            time.Duration `default:"1m" help:"Say this often what changed of each run; 0 for never."`
	JSON              bool          `name:"json" help:"Print the summary of each run that is complete as JSON."`
}

// Run serves until ctx ends.
func (c *Serve) Run(ctx context.Context, t *cli.Terminal) error {
	err := c.run(ctx, t)
	if err != nil && (ctx.Err() == nil || !errors.Is(err, context.Canceled)) {
		return err
	}
	fmt.Fprintln(t.Err, "stopped; nothing is lost, and the same command goes on")
	return nil
}

func (c *Serve) run(ctx context.Context, t *cli.Terminal) error {
	if c.SinkLease < time.Second || c.FlushEvery < 0 || c.Report < 0 {
		return cli.Usage("--sink-lease %s has to be a second or more, --flush-every %s and --report %s may not be negative", c.SinkLease, c.FlushEvery, c.Report)
	}
	limit, err := failureLimit(c.MaxFailures)
	if err != nil {
		return err
	}
	log, err := c.Logger(t)
	if err != nil {
		return err
	}
	cli.RunsFlags{Store: c.Store}.Advise()
	store, err := awaitStore(ctx, c.StoreFlags, true, log)
	if err != nil {
		return err
	}
	defer store.Close()
	config := streamConfig(c.NATSFlags, c.Lease, log)
	config.Name, config.Patient, config.SinkLease = "serve", true, c.SinkLease
	config.Replicas, config.MaxBytes, config.Enlarge = c.Replicas, int64(c.MaxBytes), c.MaxBytes > 0
	conn, err := stream.Connect(ctx, config)
	if err != nil {
		return err
	}
	defer conn.Close()
	guard := ownership.New(ownership.Publisher, store, conn, log)
	conn.GuardWith(guard.Confirm)
	ctx, unwatch := guard.Watch(ctx)
	defer unwatch()
	s := &serving{t: t, store: store, conn: conn, log: log, json: c.JSON, progress: view.NewProgress(t, c.ProgressFlags), mode: c.Mode(t), runs: map[string]*served{}}
	err = c.serve(ctx, s, guard, limit)
	s.progress.Clear()
	return cmp.Or(ownership.Refusal(ctx), err)
}

// serve builds the engines, and runs them until ctx ends.
func (c *Serve) serve(ctx context.Context, s *serving, guard *ownership.Guard, limit producer.FailureLimit) error {
	store, conn, log := s.store, s.conn, s.log
	registry := metrics.NewRegistry()
	reconciler, err := newReconciler(store, conn, c.Lease, log)
	if err != nil {
		return err
	}
	s.reconciler = reconciler
	publisher, err := producer.NewPublisher(producer.Config{
		Window: c.Window, Metrics: producer.NewMetrics(registry), Log: log, MaxFailures: limit, PauseRun: producer.NewControl(store, conn).Pause,
	}, store, conn)
	if err != nil {
		return err
	}
	results, err := sink.New(sink.Config{FlushEvery: c.FlushEvery, ExtendEvery: c.SinkLease / 3, Compare: guard.Compare, Metrics: sink.NewMetrics(registry), Log: log}, conn, store)
	if err != nil {
		return err
	}
	attendant, err := producer.NewAttendant(publisher, reconciler, store, conn, s)
	if err != nil {
		return err
	}
	stop, err := serveHTTP(c.HTTP, registry, s.healthy, log)
	if err != nil {
		return err
	}
	defer stop()
	log.Info("serving all open runs of the store; stop with Ctrl-C")
	defer s.show(ctx, c.Report)()
	if err := attendant.Await(ctx, s.noRuns); err != nil {
		return err
	}
	if err := outlast(ctx, log, "make the streams", conn.Ensure); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return results.Run(ctx) })
	group.Go(func() error { return attendant.Run(ctx) })
	return group.Wait()
}

func (s *serving) healthy(ctx context.Context) error {
	return errors.Join(s.conn.Healthy(ctx), s.store.Ping(ctx))
}
