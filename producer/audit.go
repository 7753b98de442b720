package main

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"go.uber.org/zap"

	"gleaner/internal/cli"
	"gleaner/internal/reconcile"
)

// auditCmd is the command producer audit: is every generation accounted for?
type auditCmd struct {
	cli.StoreFlags `embed:""`
	cli.NATSFlags  `embed:""`
	Name           string `name:"run" required:"" placeholder:"NAME" help:"Name of the run."`
	JSON           bool   `name:"json" help:"Print JSON."`
}

func (c *auditCmd) Run(ctx context.Context, t *cli.Terminal) error {
	engine, closeBoth, err := openBoth(ctx, c.StoreFlags, c.NATSFlags, 0, zap.NewNop())
	if err != nil {
		return err
	}
	defer closeBoth()
	account, err := engine.Audit(ctx, c.Name)
	if err != nil {
		return err
	}
	if c.JSON {
		err = json.NewEncoder(t.Out).Encode(account)
	} else {
		err = printAccount(t, account)
	}
	if err == nil && !account.Balanced() {
		err = fmt.Errorf("run %s: %s not accounted for in %s; producer publish --follow repairs what the streams have lost",
			c.Name, cli.Plural(account.Lost, "generation is", "generations are"), cli.Plural(account.Breaches, "batch", "batches"))
	}
	return err
}

func printAccount(t *cli.Terminal, a reconcile.Account) error {
	w := tabwriter.NewWriter(t.Out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, row := range []struct {
		what string
		n    int
	}{
		{"stored", a.Stored}, {"dead", a.Dead}, {"dropped", a.Dropped}, {"cancelled", a.Cancelled},
		{"planned", a.Planned}, {"on the queue", a.Work}, {"results on their way", a.Results}, {"dead letters on their way", a.Unmirrored}, {"moving", a.Moving},
		{"lost", a.Lost}, {"total", a.Total},
	} {
		fmt.Fprintf(w, "%s\t%s\t\n", row.what, cli.Count(row.n))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, b := range a.Broken {
		fmt.Fprintf(t.Out, "%s (%s, round %d): %s\n", b.Batch, b.State, b.Round, b.Reason)
	}
	if a.Balanced() {
		_, err := fmt.Fprintf(t.Out, "every generation of run %s is accounted for\n", a.Run)
		return err
	}
	return nil
}
