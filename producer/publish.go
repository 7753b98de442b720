package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/cli"
	"gleaner/internal/pipeline"
	"gleaner/internal/producer"
	"gleaner/internal/reconcile"
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
		if err := publisher.Persist(ctx, c.Name); err != nil {
			return err
		}
		progress, err := books.Progress(ctx, c.Name, time.Now())
		if err != nil {
			return err
		}
		complete(ctx, log, conn, run, progress)
		return c.summary(ctx, t, books, publisher, run)
	}
	engine, err := newLedger(books, conn, c.Lease, log)
	if err != nil {
		return err
	}
	final, err := follow(ctx, log, publisher, engine, run.Name, func(p pipeline.Progress) {
		if progress.Due() {
			progress.Show(cli.Line(status.Of(run, p, time.Now())))
		}
	})
	progress.Clear()
	if err != nil {
		return err
	}
	complete(ctx, log, conn, run, final)
	if err := c.summary(ctx, t, books, publisher, run); err != nil {
		return err
	}
	if final.Failed+final.Dropped > 0 {
		return &cli.Exit{Code: cli.DeadLetters, Err: noAnswer(run.Name, final)}
	}
	return nil
}

// noAnswer says that a run has ended with dead letters, and what can be done about those that
// were not given up.
func noAnswer(run string, p pipeline.Progress) error {
	err := fmt.Errorf("run %s: %d of %d generations have no answer", run, p.Failed+p.Dropped, p.Generations)
	if p.Failed > 0 {
		err = fmt.Errorf("%w: `producer dead list --run %s` says why, `producer dead redrive --run %s` gives them another round", err, run, run)
	}
	return err
}

// complete tells the consumers that their work is done, if it is for good: what is under a dead
// letter may have another round. If it cannot be told they wait, which costs time but loses
// nothing.
func complete(ctx context.Context, log *zap.Logger, conn *stream.Conn, run pipeline.Run, p pipeline.Progress) {
	if !p.Complete() || p.Failed > 0 {
		return
	}
	if err := conn.CompleteRun(ctx, run); err != nil {
		log.Warn("telling the consumers that the run is complete; those without --for or --idle-exit wait on", zap.Error(err))
	}
}

// follow follows the run to its end, and meanwhile puts back on the queue what the streams lose.
// A run whose dead letters are lost is not at its end: they are made again. While the store or
// the streams are away it waits.
func follow(ctx context.Context, log *zap.Logger, publisher *producer.Publisher, engine *reconcile.Engine, run string, watch func(pipeline.Progress)) (pipeline.Progress, error) {
	reconciling, stop := context.WithCancel(ctx)
	var reconciler sync.WaitGroup
	reconciler.Go(func() { _ = engine.Reconciler(run).Run(reconciling) }) // it fails with the run, and then Follow says why
	defer reconciler.Wait()
	defer stop()
	for said := false; ; {
		final, err := publisher.Follow(ctx, run, watch)
		if err != nil {
			return final, err
		}
		lost, err := lost(ctx, engine, run)
		switch {
		case err == nil && lost == 0:
			return final, nil
		case err != nil && (ctx.Err() != nil || pipeline.ClassOf(err) != pipeline.Retryable):
			return final, err
		case err != nil && !said:
			log.Warn("looking whether anything is lost; trying again until it works", zap.Error(err))
			said = true
		}
		select {
		case <-time.After(auditAgain):
		case <-ctx.Done():
			return final, ctx.Err()
		}
	}
}

// lost counts the generations of a finished run that are not accounted for, when the dead letters
// without use are gone.
func lost(ctx context.Context, engine *reconcile.Engine, run string) (int, error) {
	if _, err := engine.Sweep(ctx, run); err != nil {
		return 0, err
	}
	account, err := engine.Audit(ctx, run)
	return account.Lost, err
}

// auditAgain is how often a run is looked at that waits for its lost dead letters.
const auditAgain = 5 * time.Second

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
