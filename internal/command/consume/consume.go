// Package consume holds the command of the consumer. It stands apart from the other commands, so
// that the consumer links no database driver, no embedded server and no Prometheus.
package consume

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/oklog/ulid/v2"
	"go.uber.org/zap"

	"gleaner/internal/cli"
	"gleaner/internal/consumer"
	"gleaner/internal/pipeline"
	"gleaner/internal/stream"
	"gleaner/internal/supervise"
	"gleaner/internal/telemetry"
)

// Command is the command of the consumer: it takes batches from the queue, generates their answers
// and publishes them.
type Command struct {
	cli.NATSFlags `embed:""`
	inviteFlags   `embed:""`
	cli.LogFlags  `embed:""`
	serverFlags   `embed:""`
	Name          string `name:"run" placeholder:"NAME" help:"Name of the run; it is waited for if it is not there yet. Default: the only one there is."`
	endingFlags   `embed:""`
	Grace         time.Duration `default:"30s" help:"How long work in hand may go on after Ctrl-C or SIGTERM. What is not finished then is handed back."`
	Rest          time.Duration `default:"30s" help:"How long a batch that failed here rests before another GPU tries it, doubled each time, and a GPU that has to be mended."`
	Report        time.Duration `default:"1m" help:"Say this often how far each GPU is; 0 for never."`
	HTTP          string        `name:"http" placeholder:"ADDR" help:"Serve /healthz here, such as :9091, which is on loopback. Off by default."`

	made tally
}

// Run takes work until ctx ends, the run is complete, or the time is over.
func (c *Command) Run(ctx context.Context, t *cli.Terminal, inForce cli.InForce) error {
	log, err := c.Logger(t)
	if err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return err
	}
	now := time.Now()
	deadline, err := c.Deadline(now)
	if err != nil {
		return err
	}
	c.sayEnd(log, deadline, now)
	if err := c.begin(ctx, t, inForce(), log); err != nil || c.Check == "only" {
		return err
	}
	servers, err := c.open(ctx, log)
	if ctx.Err() != nil {
		return nil // stopped while it had nothing to do
	}
	if err != nil {
		return err
	}
	defer servers.release()
	conn, err := stream.Connect(ctx, stream.Config{URL: c.NATSURL, Creds: c.NATSCreds, Name: "consumer", Timeout: cli.ConnectWithin, Patient: true, Log: log})
	if err != nil {
		return err
	}
	defer conn.Close()
	defer func() { c.made.say(log) }()
	return ended(log, c.runs(ctx, log, conn, servers, deadline))
}

// runs works for one run after the other, as far as that is asked for.
func (c *Command) runs(ctx context.Context, log *zap.Logger, conn *stream.Conn, servers servers, deadline time.Time) error {
	for at := (pipeline.RunInfo{Run: c.Name}); ; {
		run, err := c.runFor(ctx, log, conn, servers, deadline, at)
		at = run // with --stay the next run of this name is waited for
		switch {
		case ctx.Err() != nil || !deadline.IsZero() && !time.Now().Before(deadline):
			return err
		case c.NextRun && (errors.Is(err, consumer.ErrRunOver) || err == nil && c.isComplete(ctx, conn, run)):
		case c.Stay && errors.Is(err, consumer.ErrRunOver):
			log.Info("staying for another run of this name", zap.String("run", run.Run), zap.NamedError("because", err))
		default:
			return err
		}
	}
}

// isComplete reports whether a run, which this consumer has ended to work for, is complete.
func (c *Command) isComplete(ctx context.Context, conn *stream.Conn, run pipeline.RunInfo) bool {
	info, err := conn.RunInfo(ctx, run.Run)
	return err == nil && info.Complete
}

// runFor works for the run of this name, once it is there, or with --next-run for one that follows
// it, and returns which it was.
func (c *Command) runFor(ctx context.Context, log *zap.Logger, conn *stream.Conn, servers servers, deadline time.Time, last pipeline.RunInfo) (pipeline.RunInfo, error) {
	idleExit := c.idleExit(c.StartsServers())
	run, err := consumer.ChooseRun(ctx, conn, consumer.ChooseConfig{Run: last.Run, Stay: c.Stay, Next: c.NextRun, Model: last.Model, Simulated: servers.simulated, Deadline: deadline, IdleExit: idleExit, Log: log})
	if ctx.Err() != nil {
		return last, nil
	}
	if err != nil {
		return last, err
	}
	return run, c.work(ctx, consumer.Config{
		Lease: run.Lease, Grace: max(c.Grace, time.Millisecond), Rest: c.Rest, Log: log,
		FirstToken: c.FirstToken, Stall: c.Stall, AnswerLimit: c.AnswerLimit, HealthChecks: supervise.HealthChecks{AllowCPU: c.AllowCPU}, Known: run,
		Deadline: deadline, IdleExit: idleExit, Stay: c.Stay,
		Info: func(ctx context.Context) (pipeline.RunInfo, error) { return conn.RunInfo(ctx, run.Run) },
		News: func(listen func(pipeline.RunNews)) (func(), error) { return conn.HearNews(run.Run, listen) },
		Gone: conn.Gone(run.Run),
	}, conn, servers, run)
}

// check refuses what makes no sense.
func (c *Command) check() error {
	if c.NextRun && c.Stay {
		return cli.Usage("--next-run goes on to another run, and --stay waits for the same: give one of them")
	}
	if c.JSON && c.Check != "only" {
		return cli.Usage("--json is for --check=only")
	}
	if c.Rest < time.Second {
		return cli.Usage("--rest %s has to be a second or more", c.Rest)
	}
	return errors.Join(c.endingFlags.check(), c.serverFlags.check())
}

// work runs the engine and says how far it is.
func (c *Command) work(ctx context.Context, config consumer.Config, conn *stream.Conn, servers servers, run pipeline.RunInfo) error {
	log := config.Log
	c.handBackLeft(ctx, conn, run, log)
	lanes, identity, err := c.lanes(ctx, servers, run)
	if err != nil {
		return err
	}
	identity.ID, identity.Run, identity.Version, identity.Model = ulid.Make().String(), run.Run, cli.Version(), run.Model
	identity.Host, _ = os.Hostname() // a consumer without a name is still a consumer
	config.Identity = identity
	work, release := c.note(conn, run, identity.ID, log)
	defer release()
	engine, err := consumer.New(config, work, conn, lanes)
	if err != nil {
		return err
	}
	defer say(ctx, c.Report, engine.Snapshot, log)()
	if c.HTTP != "" {
		server, err := telemetry.Listen(c.HTTP, log, conn.Healthy, nil)
		if err != nil {
			return err
		}
		defer server.Close()
		log.Info("serving /healthz", zap.String("addr", server.Addr()))
	}
	log.Info("taking work", zap.String("run", run.Run), zap.String("model", run.Model), zap.Int("gpus", len(lanes)),
		zap.Stringer("slots", c.Slots), zap.String("consumer", identity.ID))
	began := time.Now()
	err = engine.Run(ctx)
	said := engine.Snapshot()
	c.made.add(run.Run, said, time.Since(began))
	for _, g := range said.GPUs {
		log.Info("stopped", zap.String("gpu", g.Name), zap.Int("generations", g.Generations), zap.Int("output_tokens", g.OutputTokens))
	}
	if errors.Is(err, consumer.ErrCut) {
		return &cli.Exit{Code: cli.Interrupted, Err: fmt.Errorf("%w: it was handed back", err)}
	}
	return err
}
