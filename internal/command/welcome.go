package command

import (
	"context"
	"fmt"
	"time"

	"github.com/alecthomas/kong"

	"gleaner/internal/advice"
	"gleaner/internal/cli"
	"gleaner/internal/folder"
	"gleaner/internal/status"
	"gleaner/internal/view"
)

// Welcome is what gleaner says without a command: its help, and the runs of the folder in which it
// is called.
type Welcome struct{}

// Run prints both.
func (Welcome) Run(ctx context.Context, t *cli.Terminal, command *kong.Context) error {
	if err := (cli.Bare{}).Run(command); err != nil || !folder.Exists(folder.Default) {
		return err
	}
	ctx = brief(ctx)
	store, err := openStore(ctx, cli.StoreFlags{Store: folder.Store(folder.Default)})
	if err != nil {
		return err
	}
	defer store.Close()
	advice.InFolder()
	snapshots, err := status.All(ctx, store, isIdle(ctx, folder.Default), time.Now())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(t.Out, "\nRuns in %s:\n\n%s", folder.Default, view.Snapshots(snapshots, t.TextColumns()))
	return err
}
