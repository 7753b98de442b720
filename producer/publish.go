package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/cli"
	"gleaner/internal/pipeline"
	"gleaner/internal/producer"
	"gleaner/internal/status"
	"gleaner/internal/store"
	"gleaner/internal/stream"
	"gleaner/internal/telemetry"
	"gleaner/internal/telemetry/metrics"
)

// publishCmd is the command producer publish: planned batches of a run → the queue.
type publishCmd struct {
	cli.Store   `embed:""`
	cli.NATS    `embed:""`
	cli.Streams `embed:""`
	cli.HTTP    `embed:""`
	cli.Log     `embed:""`
	Name        string        `name:"run" required:"" placeholder:"NAME" help:"Name of the run."`
	Window      int           `default:"2000" help:"Batches on the queue at a time, at most."`
	Follow      bool          `help:"Stay until every generation has its end. Exits 3 if some have no answer."`
	Lease       time.Duration `default:"90s" help:"A batch goes to another worker when its worker gave no sign of life for so long."`
	MaxBytes    cli.Size      `env:"GLEANER_MAX_BYTES" placeholder:"SIZE" help:"Room for all streams together, such as 2GiB. Streams that are there are enlarged to it, never made smaller. Default: what the NATS account allows, at most 4GiB, and no change."`
	JSON        bool          `name:"json" help:"Print the summary as JSON."`
}

func (c *publishCmd) Run(ctx context.Context, t *cli.Terminal) error {
	progress := cli.NewProgress(t)
	log, err := c.Log.Logger(&cli.Terminal{Err: progress})
	if err != nil {
		return err
	}
	books, err := openStore(ctx, c.Store)
	if err != nil {
		return err
	}
	defer books.Close()
	run, err := books.Run(ctx, c.Name)
	if err != nil {
		return err
	}
	config := streamConfig(c.NATS, c.Lease, log)
	config.Patient, config.Replicas, config.MaxBytes, config.Enlarge = true, c.Replicas, int64(c.MaxBytes), c.MaxBytes > 0
	conn, err := stream.Connect(ctx, config)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.Ensure(ctx); err != nil {
		return err
	}
	registry := metrics.NewRegistry()
	if c.HTTP.HTTP != "" {
		server, err := telemetry.Listen(c.HTTP.HTTP, log, conn.Healthy, telemetry.Handlers{"/metrics": metrics.Handler(registry)})
		if err != nil {
			return err
		}
		defer server.Close()
		log.Info("serving /metrics and /healthz", zap.String("addr", server.Addr()))
	}
	publisher, err := producer.NewPublisher(producer.Config{Window: c.Window, Metrics: producer.NewMetrics(registry), Log: log}, books, conn)
	if err != nil {
		return err
	}
	if !c.Follow {
		if err := publisher.PublishAll(ctx, c.Name); err != nil {
			return err
		}
		return c.summary(ctx, t, books, publisher, run)
	}
	engine, err := newLedger(books, conn, c.Lease, log)
	if err != nil {
		return err
	}
	final, err := publisher.FollowToEnd(ctx, run.Name, engine, func(p pipeline.Progress) {
		if progress.Due() {
			progress.Show(cli.Line(status.Of(run, p, time.Now())))
		}
	})
	progress.Clear()
	if err != nil {
		return err
	}
	if err := c.summary(ctx, t, books, publisher, run); err != nil {
		return err
	}
	if err := producer.Unanswered(run.Name, final); err != nil {
		return &cli.Exit{Code: cli.DeadLetters, Err: err}
	}
	return nil
}

func (c *publishCmd) summary(ctx context.Context, t *cli.Terminal, from store.Store, publisher *producer.Publisher, run pipeline.Run) error {
	snapshot, err := status.Take(ctx, from, nil, run.Name, time.Now())
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(t.Out).Encode(struct {
			Published int `json:"published"`
			status.Snapshot
		}{publisher.Published(), snapshot})
	}
	_, err = fmt.Fprintf(t.Out, "run %s: %s published; %s of %s generations done\n", run.Name,
		cli.Plural(publisher.Published(), "batch", "batches"), cli.Count(snapshot.Stored), cli.Count(snapshot.Generations))
	return err
}
