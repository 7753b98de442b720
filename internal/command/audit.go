package command

import (
	"context"
	"fmt"

	"go.uber.org/zap"

	"gleaner/internal/advice"
	"gleaner/internal/cli"
	"gleaner/internal/pipeline"
	"gleaner/internal/reconcile"
	"gleaner/internal/view"
)

// Audit is the command audit: is every generation accounted for?
type Audit struct {
	cli.RunsFlags     `embed:""`
	cli.ProgressFlags `embed:""`
	cli.NATSFlags     `embed:""`
	Name              string `name:"run" required:"" placeholder:"NAME" help:"Name of the run."`
	JSON              bool   `name:"json" help:"Print JSON."`
}

// Run prints the account. A run that is not balanced is an error.
func (c *Audit) Run(ctx context.Context, t *cli.Terminal) error {
	ctx = brief(ctx)
	both, err := openBoth(ctx, t, c.RunsFlags, c.NATSFlags, zap.NewNop())
	if err != nil {
		return err
	}
	defer both.close()
	progress := view.NewProgress(t, c.ProgressFlags)
	account, err := both.reconciler.AuditWatched(ctx, c.Name, func(batches, of int) {
		if progress.Due() {
			progress.Show(view.Steps("auditing", batches, of, "batches"))
		}
	})
	progress.Clear()
	if err != nil {
		return err
	}
	run, err := both.store.Run(ctx, c.Name)
	if err != nil {
		return err
	}
	digests, err := both.store.Digests(ctx, c.Name)
	if err != nil {
		return err
	}
	if c.JSON {
		err = cli.PrintJSON(t.Out, audited{account, digests})
	} else {
		_, err = fmt.Fprint(t.Out, view.Account(account), view.Digests(run, digests))
	}
	if err == nil && !account.Balanced() {
		err = fmt.Errorf("run %s: %s not accounted for in %s; `%s` repairs what the streams have lost",
			c.Name, view.Plural(account.Lost, "generation is", "generations are"), view.Plural(account.Breaches, "batch", "batches"),
			advice.Command("publish", "--run", c.Name, "--follow"))
	}
	return err
}

// An audited run is where its generations are, and of which digests of the model its answers are.
type audited struct {
	reconcile.Account
	Digests []pipeline.DigestCount `json:"digests"` // of the stored answers
}
