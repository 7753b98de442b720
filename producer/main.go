// Producer is the operator's side of Gleaner: it loads a dataset as a run, publishes its batches
// and shows how far it is.
package main

import (
	"context"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/cli"
	"gleaner/internal/store"
	"gleaner/internal/stream"
)

const description = "Turn a dataset into a run, put its batches on the queue, and see how far it is."

type commands struct {
	Plan    planCmd    `cmd:"" help:"Say what a run will cost, and whether it fits into free tiers, before anything is spent."`
	Load    loadCmd    `cmd:"" help:"Load a dataset as a run into the store."`
	Publish publishCmd `cmd:"" help:"Put the batches of a run on the queue."`
	Status  statusCmd  `cmd:"" help:"Show all runs, or one of them."`
	Delete  deleteCmd  `cmd:"" help:"Remove a run and all its results."`
	Dead    deadCmd    `cmd:"" help:"What could not be generated: list, show, redrive, drop."`
	Audit   auditCmd   `cmd:"" help:"Check that every generation of a run is accounted for."`
	Pause   pauseCmd   `cmd:"" help:"Stop handing out the batches of a run."`
	Resume  resumeCmd  `cmd:"" help:"Hand them out again."`
	Cancel  cancelCmd  `cmd:"" help:"End a run: its batches leave the queue, its answers stay."`
}

func main() { cli.Main("producer", description, &commands{}) }

// openStore opens the store that the flags name.
func openStore(ctx context.Context, flags cli.StoreFlags) (store.Store, error) {
	return store.Open(ctx, flags.Store)
}

// connect connects to the stream that the flags name. Lease 0 is the default one.
func connect(ctx context.Context, flags cli.NATSFlags, lease time.Duration, log *zap.Logger) (*stream.Conn, error) {
	return stream.Connect(ctx, streamConfig(flags, lease, log))
}

func streamConfig(flags cli.NATSFlags, lease time.Duration, log *zap.Logger) stream.Config {
	return stream.Config{URL: flags.NATSURL, Creds: flags.NATSCreds, Name: "producer", Timeout: cli.ConnectWithin, Lease: lease, Log: log}
}
