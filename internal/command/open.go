// Package command holds the commands of the programs, one file each. A command parses its flags,
// builds its parts, runs an engine and draws what comes of it; it decides nothing. The consumer's
// commands stand in the package consume, so that the consumer links nothing of what is here.
package command

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/cli"
	"gleaner/internal/producer"
	"gleaner/internal/reconcile"
	"gleaner/internal/store"
	"gleaner/internal/stream"
)

// openStore opens the store that the flags name.
func openStore(ctx context.Context, flags cli.StoreFlags) (store.Store, error) {
	return store.Open(ctx, flags.Store)
}

// streamConfig says how an operator's command reaches the streams that the flags name. Lease 0 is
// the default one.
func streamConfig(flags cli.NATSFlags, lease time.Duration, log *zap.Logger) stream.Config {
	return stream.Config{URL: flags.NATSURL, Creds: flags.NATSCreds, Name: "producer", Timeout: cli.ConnectWithin, Lease: lease, Log: log}
}

// connect connects to the streams that the flags name. What the connection logs is not shown.
func connect(ctx context.Context, flags cli.NATSFlags) (*stream.Conn, error) {
	return stream.Connect(ctx, streamConfig(flags, 0, zap.NewNop()))
}

// An opened is what a command has opened: the store, the streams, and the engine over both.
type opened struct {
	store      store.Store
	conn       *stream.Conn
	reconciler *reconcile.Engine
}

// openBoth opens the store and the streams that the flags name. The caller has to close what it
// returns.
func openBoth(ctx context.Context, flags cli.StoreFlags, nats cli.NATSFlags, log *zap.Logger) (o opened, err error) {
	if o.store, err = openStore(ctx, flags); err != nil {
		return o, err
	}
	if o.conn, err = stream.Connect(ctx, streamConfig(nats, 0, log)); err != nil {
		return opened{}, errors.Join(err, o.store.Close())
	}
	if o.reconciler, err = newReconciler(o.store, o.conn, 0, log); err != nil {
		o.close()
	}
	return o, err
}

func (o opened) close() {
	o.conn.Close()
	_ = o.store.Close() // every write was committed before
}

// newReconciler returns the engine over the store and the streams.
func newReconciler(store store.Store, conn *stream.Conn, lease time.Duration, log *zap.Logger) (*reconcile.Engine, error) {
	return reconcile.New(reconcile.Config{Lease: lease, Log: log}, store, conn, producer.BuildFrom(store))
}
