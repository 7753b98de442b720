package command

import (
	"context"
	"fmt"

	"go.uber.org/zap"

	"gleaner/internal/cli"
	"gleaner/internal/pipeline"
	"gleaner/internal/producer"
	"gleaner/internal/view"
)

// Delete is the command delete: it removes a run with everything that belongs to it, from the store
// and from the streams.
type Delete struct {
	cli.RunsFlags     `embed:""`
	cli.ProgressFlags `embed:""`
	cli.NATSFlags     `embed:""`
	Name              string `name:"run" required:"" placeholder:"NAME" help:"Name of the run."`
	Yes               bool   `byhand:"run" help:"Do not ask."`
	JSON              bool   `name:"json" help:"Print the summary as JSON."`
}

// A deleted run is what was removed.
type deleted struct {
	Run       string `json:"run"`
	Documents int    `json:"documents"` // of the store
}

// Run asks for confirmation and removes the run.
func (c *Delete) Run(ctx context.Context, t *cli.Terminal) error {
	ctx = brief(ctx)
	if err := pipeline.ValidateRunName(c.Name); err != nil {
		return err
	}
	store, runs, err := openRuns(ctx, t, c.RunsFlags)
	if err != nil {
		return err
	}
	defer store.Close()
	run, err := store.Run(ctx, c.Name)
	if err != nil {
		return err
	}
	conn, err := connectTo(ctx, store, runs, c.NATSFlags, zap.NewNop())
	if err != nil {
		return fmt.Errorf("a run is removed from the streams too: %w", err)
	}
	defer conn.Close()
	if err := confirm(t, c.Yes, run, fmt.Sprintf("This removes run %s with %s and every answer to it, for good.", run.Name, view.Plural(run.Items, "row", "rows"))); err != nil {
		return err
	}
	progress := view.NewProgress(t, c.ProgressFlags)
	removed, err := producer.NewControl(store, conn).Delete(ctx, run, func(n int) {
		if progress.Due() {
			progress.Show(fmt.Sprintf("deleting run %s: %s documents", c.Name, view.Count(n)))
		}
	})
	progress.Clear()
	if err != nil {
		return err
	}
	if c.JSON {
		return cli.PrintJSON(t.Out, deleted{c.Name, removed})
	}
	_, err = fmt.Fprintf(t.Out, "run %s is deleted: %s\n", c.Name, view.Plural(removed, "document", "documents"))
	return err
}
