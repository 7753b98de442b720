package command

import (
	"context"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/cli"
	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
	"gleaner/internal/store"
)

// commandPatience is how long a command that a person waits for waits for servers that do not
// answer, for all of them together.
const commandPatience = 10 * time.Second

// brief returns the context of such a command. It may last for longer where the servers answer.
func brief(ctx context.Context) context.Context { return outage.WithPatience(ctx, commandPatience) }

// outlast repeats what a program that runs for long does at its start or its end until the server
// that it needs is there. Doing says what that is. A refusal for good ends it.
func outlast(ctx context.Context, log *zap.Logger, doing string, do func(ctx context.Context) error) error {
	loop := outage.Loop{Log: log, Away: "cannot " + doing + "; trying again until it works", Back: "could " + doing + " now"}
	return loop.Do(ctx, do)
}

// awaitStore opens the store that the flags name, as soon as its server is there, for a program
// that writes to it. It makes none. A sink writes only what it takes, so its store may be empty.
// That the user may only read is said now, and not at the first write, which may be hours later.
func awaitStore(ctx context.Context, flags cli.StoreFlags, mayBeEmpty bool, log *zap.Logger) (opened store.Store, err error) {
	err = outlast(ctx, log, "open the store", func(ctx context.Context) (err error) {
		if mayBeEmpty {
			opened, err = store.OpenExisting(ctx, flags.Store)
		} else {
			opened, err = openStore(ctx, flags)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := opened.MayWrite(ctx); pipeline.ClassOf(err) == pipeline.Fatal { // what may pass is waited for where it matters
		_ = opened.Close() // nothing was written
		return nil, err
	}
	return opened, nil
}
