//go:build unix

package main

import (
	"context"
	"errors"
	"os"
	"syscall"

	"gleaner/internal/outage"
)

// rollBackNATS gives the NATS server the folder that it had some time ago, as somebody does who
// restores a copy: what was acknowledged since is there again, and what was published since is not.
func (b *testbed) rollBackNATS(ctx context.Context, f fault) error {
	copied := b.server.dir + ".copy"
	b.nats.down(syscall.SIGTERM, faultWithin)
	err := os.RemoveAll(copied)
	if _, there := os.Stat(b.server.dir); errors.Is(there, os.ErrNotExist) {
		b.nats.up()
		return err // it has not run since another fault emptied it
	}
	if err == nil {
		err = os.CopyFS(copied, os.DirFS(b.server.dir))
	}
	b.nats.up()
	if err != nil {
		return err
	}
	_ = outage.Sleep(ctx, f.lasts) // the run goes on
	b.nats.down(syscall.SIGKILL, diesWithin)
	defer b.nats.up()
	if err := os.RemoveAll(b.server.dir); err != nil {
		return err
	}
	return os.Rename(copied, b.server.dir)
}
