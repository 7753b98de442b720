package command

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/cli"
	"gleaner/internal/ownership"
	"gleaner/internal/sink"
	"gleaner/internal/stream"
	"gleaner/internal/telemetry/metrics"
)

// RunSink is the command sink: results → store, acknowledged after the write.
type RunSink struct {
	cli.StoreFlags  `embed:""`
	cli.NATSFlags   `embed:""`
	cli.StreamFlags `embed:""`
	cli.HTTPFlags   `embed:""`
	cli.LogFlags    `embed:""`
	MaxBytes        cli.Size      `env:"GLEANER_MAX_BYTES" placeholder:"SIZE" help:"Without effect: producer publish makes the streams."`
	FlushEvery      time.Duration `default:"1s" help:"How long results wait for others to be written with."`
	Lease           time.Duration `default:"30s" help:"Results go to another sink when this one gave no sign of life for this long."`
	Report          time.Duration `default:"1m" help:"Say this often how many answers were stored, if there were any; 0 for never."`
}

// Run writes results until ctx ends.
func (c *RunSink) Run(ctx context.Context, t *cli.Terminal) error {
	if c.Lease < time.Second || c.FlushEvery < 0 || c.Report < 0 {
		return cli.Usage("--lease %s has to be a second or more, --flush-every %s and --report %s may not be negative", c.Lease, c.FlushEvery, c.Report)
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
	conn, err := stream.Connect(ctx, stream.Config{URL: c.NATSURL, Creds: c.NATSCreds, Name: "sink", SinkLease: c.Lease, Timeout: cli.ConnectWithin, Patient: true, Log: log})
	if err != nil {
		return err
	}
	defer conn.Close()
	guard := ownership.New(ownership.Sink, store, conn, log)
	conn.GuardWith(guard.Confirm)
	registry := metrics.NewRegistry()
	engine, err := sink.New(sink.Config{FlushEvery: c.FlushEvery, ExtendEvery: c.Lease / 3, Compare: guard.Compare, Metrics: sink.NewMetrics(registry), Log: log}, conn, store)
	if err != nil {
		return err
	}
	health := func(ctx context.Context) error { return errors.Join(conn.Healthy(ctx), store.Ping(ctx)) }
	stop, err := serveHTTP(c.HTTP, registry, health, log)
	if err != nil {
		return err
	}
	defer stop()
	log.Info("writing results to the store; stop with Ctrl-C")
	if err := guard.Begin(ctx); err != nil {
		return err
	}
	ctx, unwatch := guard.Watch(ctx)
	defer unwatch()
	said := 0
	defer cli.Every(ctx, c.Report, func() {
		if stored := engine.Written().New; stored > said {
			log.Info("storing answers", zap.Int("stored", stored), zap.Int("since_last_said", stored-said))
			said = stored
		}
	})()
	if err := engine.Run(ctx); err != nil {
		return err
	}
	if err := ownership.Refusal(ctx); err != nil {
		return err
	}
	log.Info("stopped", zap.Int("stored", engine.Written().New))
	return nil
}
