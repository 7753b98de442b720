// Package command holds the commands of the programs, one file each. A command parses its flags,
// builds its parts, runs an engine and draws what comes of it; it decides nothing. The consumer's
// commands stand in the package consume, so that the consumer links nothing of what is here.
package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/advice"
	"gleaner/internal/cli"
	"gleaner/internal/folder"
	"gleaner/internal/ownership"
	"gleaner/internal/pipeline"
	"gleaner/internal/producer"
	"gleaner/internal/reconcile"
	"gleaner/internal/store"
	"gleaner/internal/stream"
)

// locate returns where the runs are: what the flags name, or else the folder of gleaner run that is
// here, which is said. Commands in messages name the same.
func locate(t *cli.Terminal, flags cli.RunsFlags) (cli.RunsFlags, error) {
	switch {
	case flags.Data != "":
		if !folder.Exists(flags.Data) {
			return flags, fmt.Errorf("there are no runs in the folder %s: gleaner run makes some there. Check --data", flags.Data)
		}
	case flags.Store == "" && folder.Exists(folder.Default):
		flags.Data = folder.Default
		advice.InFolder()
		fmt.Fprintf(t.Err, "Runs in the folder %s.\n", flags.Data)
		return flags, nil // which commands in messages find by themselves, too
	case flags.Store == "":
		return flags, cli.Usage("where are the runs? Name a store with --store URI or in MONGODB_URI, or a folder of gleaner run with --data DIR; there is no %s here", folder.Default)
	}
	flags.Advise()
	return flags, nil
}

// openRuns opens the store in which the runs are, and returns where that is, see locate.
func openRuns(ctx context.Context, t *cli.Terminal, flags cli.RunsFlags) (store.Store, cli.RunsFlags, error) {
	runs, err := locate(t, flags)
	if err != nil {
		return nil, runs, err
	}
	address := runs.Store
	if runs.Data != "" {
		address = folder.Store(runs.Data)
	}
	opened, err := openStore(ctx, cli.StoreFlags{Store: address})
	return opened, runs, err
}

// openStore opens the store that the flags name. It makes none, and one to which nothing was ever
// written counts as none.
func openStore(ctx context.Context, flags cli.StoreFlags) (store.Store, error) {
	opened, err := store.OpenExisting(ctx, flags.Store)
	if err != nil {
		return nil, err
	}
	empty, err := store.IsEmpty(ctx, opened)
	if err == nil && empty {
		who, _ := opened.Identity(ctx) // as a moment ago
		err = fmt.Errorf("%w at %s: nothing was ever written to it. Check the address, `%s` makes a store", pipeline.ErrNoStore, who.Name, advice.Command("load"))
	}
	if err != nil {
		return nil, errors.Join(err, opened.Close())
	}
	return helpful{opened}, nil
}

// streamConfig says how an operator's command reaches the streams that the flags name. Lease 0 is
// the default one.
func streamConfig(flags cli.NATSFlags, lease time.Duration, log *zap.Logger) stream.Config {
	return stream.Config{URL: flags.NATSURL, Creds: flags.NATSCreds, Name: "producer", Timeout: cli.ConnectWithin, Lease: lease, Log: log}
}

// connect connects to the streams beside the runs: those of their folder, or else of the NATS
// account that the flags name. What a connection logs is not for a command that ends at once, which
// gives no log.
func connect(ctx context.Context, runs cli.RunsFlags, flags cli.NATSFlags, log *zap.Logger) (*stream.Conn, error) {
	if runs.Data == "" {
		return stream.Connect(ctx, streamConfig(flags, 0, log))
	}
	config, err := folder.Reach(ctx, runs.Data, func(line string) { log.Warn("nats: " + line) })
	if err != nil {
		return nil, err
	}
	config.Name, config.Timeout, config.Log = "operator", cli.ConnectWithin, log
	conn, err := stream.Connect(ctx, config)
	switch {
	case config.OnClose == nil: // gleaner run works there
	case err != nil:
		config.OnClose()
	default:
		forgetConsumers(ctx, conn)
	}
	return conn, err
}

// forgetConsumers removes the presence of all consumers from a queue that no other process has: a
// killed one would be seen as working until three leases are over. It then is, if this fails.
func forgetConsumers(ctx context.Context, conn *stream.Conn) {
	present, _ := conn.Consumers(ctx)
	for _, p := range present {
		if p.Left() { // what one has done that ended in order is worth a look
			continue
		}
		if conn.ForgetConsumer(ctx, p.ID) != nil {
			return
		}
	}
}

// connectTo does the same, and compares whose the streams are: what is written to them, or taken
// from them, is of this store.
func connectTo(ctx context.Context, store store.Store, runs cli.RunsFlags, flags cli.NATSFlags, log *zap.Logger) (*stream.Conn, error) {
	conn, err := connect(ctx, runs, flags, log)
	if err != nil {
		return nil, err
	}
	guard := ownership.New(ownership.Operator, store, conn, log)
	conn.GuardWith(guard.Confirm)
	if err := guard.Confirm(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// An opened is what a command has opened: the store, the streams, and the engine over both.
type opened struct {
	runs       cli.RunsFlags // where they are
	store      store.Store
	conn       *stream.Conn
	reconciler *reconcile.Engine
}

// openBoth opens the store and the streams that the flags name, within the patience of a person.
// The caller has to close what it returns.
func openBoth(ctx context.Context, t *cli.Terminal, flags cli.RunsFlags, nats cli.NATSFlags, log *zap.Logger) (o opened, err error) {
	ctx = brief(ctx)
	if o.store, o.runs, err = openRuns(ctx, t, flags); err != nil {
		return o, err
	}
	if o.conn, err = connectTo(ctx, o.store, o.runs, nats, log); err != nil {
		return opened{}, errors.Join(err, o.store.Close())
	}
	if o.reconciler, err = newReconciler(o.store, o.conn, 0, log); err != nil {
		o.close()
	}
	return o, err
}

// waits reports whether what is on the queue waits for the next gleaner run: it is in a folder, and
// none works there.
func (o opened) waits(ctx context.Context) bool {
	return o.runs.Data != "" && folder.WorksIn(ctx, o.runs.Data).PID == 0
}

func (o opened) close() {
	o.conn.Close()
	_ = o.store.Close() // every write was committed before
}

// newReconciler returns the engine over the store and the streams.
func newReconciler(store store.Store, conn *stream.Conn, lease time.Duration, log *zap.Logger) (*reconcile.Engine, error) {
	return reconcile.New(reconcile.Config{Lease: lease, Log: log}, store, conn, producer.BuildFrom(store))
}
