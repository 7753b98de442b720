// Consumer is the GPU's side of Gleaner: it takes batches from the queue, generates their answers
// with Ollama and publishes them.
package main

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
	"gleaner/internal/stream"
	"gleaner/internal/supervise"
	"gleaner/internal/telemetry"
)

const description = "Take batches from the queue, generate their answers with Ollama, and publish them."

type command struct {
	cli.NATS `embed:""`
	cli.Log  `embed:""`
	fleet    `embed:""`
	Name     string   `name:"run" placeholder:"NAME" help:"Name of the run; it is waited for if it is not there yet. Default: the only one there is."`
	Ollama   []string `env:"OLLAMA_HOST" default:"http://127.0.0.1:11434" placeholder:"URL" help:"Ollama servers, with commas between them; each counts as one GPU."`
	Slots    slots    `default:"8" placeholder:"N" help:"Generations at a time on each GPU; the server's OLLAMA_NUM_PARALLEL. auto: the number with the most tokens a second, up to 16, found at work."`
	ending   `embed:""`
	Grace    time.Duration `default:"30s" help:"How long work in hand may go on after Ctrl-C or SIGTERM. What is not finished then is handed back."`
	Stall    time.Duration `default:"45s" help:"A server that sends no further token for so long has stalled: the request is tried again alone."`
	Rest     time.Duration `default:"30s" help:"How long a batch that failed here rests before another GPU tries it, doubled each time, and a GPU that has to be mended."`
	Report   time.Duration `default:"1m" help:"Say how far each GPU is so often; 0 for never."`
	Health   string        `name:"http" placeholder:"ADDR" help:"Serve /healthz here, such as :9091, which is on loopback. Off by default."`
}

func main() { cli.Main("consumer", description, &command{}) }

func (c *command) Run(ctx context.Context, t *cli.Terminal) error {
	log, err := c.Log.Logger(t)
	if err != nil {
		return err
	}
	if err := c.checkFlags(); err != nil {
		return err
	}
	deadline, err := c.deadline(time.Now())
	if err != nil {
		return err
	}
	servers, err := c.servers(ctx, log)
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
	run, err := c.find(ctx, conn, deadline, log)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return ended(log, err)
	}
	gpus, identity, err := c.gpus(ctx, servers, run.Model)
	if err != nil {
		return err
	}
	identity.ID, identity.Run, identity.Version, identity.Model = ulid.Make().String(), run.Run, cli.Version(), run.Model
	identity.Host, _ = os.Hostname() // a consumer without a name is still a consumer
	engine, err := consumer.New(consumer.Config{
		Identity: identity, Lease: run.Lease, Grace: max(c.Grace, time.Millisecond), Rest: c.Rest, Log: log,
		HealthChecks: supervise.HealthChecks{Stall: c.Stall, AllowCPU: c.AllowCPU},
		Deadline:     deadline, IdleExit: c.idleExit(), Complete: c.complete(conn, run.Run),
	}, conn.Work(run.Run), conn, gpus)
	if err != nil {
		return err
	}
	defer say(ctx, c.Report, engine.Snapshot, log)()
	if c.Health != "" {
		server, err := telemetry.Listen(c.Health, log, conn.Healthy, nil)
		if err != nil {
			return err
		}
		defer server.Close()
		log.Info("serving /healthz", zap.String("addr", server.Addr()))
	}
	log.Info("taking work", zap.String("run", run.Run), zap.String("model", run.Model), zap.Int("gpus", len(gpus)),
		zap.Stringer("slots", c.Slots), zap.String("consumer", identity.ID))
	err = engine.Run(ctx)
	said := engine.Snapshot()
	for _, g := range said.GPUs {
		log.Info("stopped", zap.String("gpu", g.Name), zap.Int("generations", g.Generations), zap.Int("output_tokens", g.OutputTokens))
	}
	if errors.Is(err, consumer.ErrCut) {
		return &cli.Exit{Code: cli.Interrupted, Err: fmt.Errorf("%w: it was handed back", err)}
	}
	return err
}
