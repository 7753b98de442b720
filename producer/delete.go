package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"go.uber.org/zap"

	"gleaner/internal/cli"
	"gleaner/internal/pipeline"
	"gleaner/internal/producer"
)

// deleteCmd is the command producer delete: a run and all that belongs to it, in the store and on
// the streams.
type deleteCmd struct {
	cli.Store `embed:""`
	cli.NATS  `embed:""`
	Name      string `name:"run" required:"" placeholder:"NAME" help:"Name of the run."`
	Yes       bool   `help:"Do not ask."`
	JSON      bool   `name:"json" help:"Print the summary as JSON."`
}

func (c *deleteCmd) Run(ctx context.Context, t *cli.Terminal) error {
	if err := pipeline.ValidateRunName(c.Name); err != nil {
		return err
	}
	ledger, err := openStore(ctx, c.Store)
	if err != nil {
		return err
	}
	defer ledger.Close()
	run, err := ledger.Run(ctx, c.Name)
	if err != nil {
		return err
	}
	conn, err := connect(ctx, c.NATS, 0, zap.NewNop())
	if err != nil {
		return fmt.Errorf("a run is removed from the streams too: %w", err)
	}
	defer conn.Close()
	if err := c.confirm(t, run); err != nil {
		return err
	}
	progress := cli.NewProgress(t)
	removed, err := producer.NewControl(ledger, conn).Delete(ctx, c.Name, func(n int) {
		if progress.Due() {
			progress.Show(fmt.Sprintf("deleting run %s: %s documents", c.Name, cli.Count(n)))
		}
	})
	progress.Clear()
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(t.Out).Encode(map[string]any{"run": c.Name, "documents": removed})
	}
	_, err = fmt.Fprintf(t.Out, "run %s is deleted: %s\n", c.Name, cli.Plural(removed, "document", "documents"))
	return err
}

// confirm asks for the run's name, unless the user has said yes already.
func (c *deleteCmd) confirm(t *cli.Terminal, run pipeline.Run) error {
	if c.Yes {
		return nil
	}
	if !t.Interactive() {
		return cli.Usage("deleting run %s needs --yes where nobody can be asked", run.Name)
	}
	fmt.Fprintf(t.Err, "This removes run %s with %s and every answer to it, for good.\nType the run's name to go on: ", run.Name, cli.Plural(run.Items, "row", "rows"))
	answer, err := bufio.NewReader(t.In).ReadString('\n')
	if err != nil || strings.TrimSpace(answer) != run.Name {
		return &cli.Exit{Code: cli.Failed, Err: fmt.Errorf("nothing was deleted")}
	}
	return nil
}
