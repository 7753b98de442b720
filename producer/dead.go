package main

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"text/tabwriter"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/cli"
	"gleaner/internal/pipeline"
	"gleaner/internal/producer"
	"gleaner/internal/reconcile"
	"gleaner/internal/store"
	"gleaner/internal/stream"
)

// deadCmd is the command producer dead: what could not be generated.
type deadCmd struct {
	List    deadListCmd    `cmd:"" help:"List dead letters, oldest first."`
	Show    deadShowCmd    `cmd:"" help:"Show dead letters with everything in them."`
	Redrive deadRedriveCmd `cmd:"" help:"Put the batches of dead letters on the queue again."`
	Drop    deadDropCmd    `cmd:"" help:"Give up the batches of dead letters for good."`
}

// chosen are the flags that choose dead letters.
type chosen struct {
	Name      string           `name:"run" placeholder:"NAME" help:"Of this run only."`
	Batch     []int            `placeholder:"INDEX" help:"Of these batches only."`
	Class     []pipeline.Class `placeholder:"CLASS" help:"Of these classes: bad-item, truncated, degenerate, poison, undeliverable."`
	Message   string           `placeholder:"REGEXP" help:"Whose message matches."`
	OlderThan time.Duration    `placeholder:"AGE" help:"That failed at least so long ago, such as 2h."`
	NewerThan time.Duration    `placeholder:"AGE" help:"That failed at most so long ago."`
	Limit     int              `placeholder:"N" help:"At most so many."`
}

// filter returns what the flags choose.
func (c chosen) filter() (reconcile.Filter, error) {
	filter := reconcile.Filter{Run: c.Name, Batches: c.Batch, Classes: c.Class, OlderThan: c.OlderThan, NewerThan: c.NewerThan}
	if c.Limit < 0 {
		return filter, cli.Usage("limit %d is negative", c.Limit)
	}
	if c.Message != "" {
		var err error
		if filter.Pattern, err = regexp.Compile(c.Message); err != nil {
			return filter, cli.Usage("message: %v", err)
		}
	}
	return filter, nil
}

// openBoth opens store and stream and returns the ledger engine over both, with a function that
// closes them.
func openBoth(ctx context.Context, flags cli.Store, nats cli.NATS, lease time.Duration, log *zap.Logger) (*reconcile.Engine, func(), error) {
	books, err := openStore(ctx, flags)
	if err != nil {
		return nil, nil, err
	}
	conn, err := connect(ctx, nats, lease, log)
	if err != nil {
		books.Close()
		return nil, nil, err
	}
	engine, err := newLedger(books, conn, lease, log)
	return engine, func() { conn.Close(); books.Close() }, err
}

func newLedger(from store.Store, conn *stream.Conn, lease time.Duration, log *zap.Logger) (*reconcile.Engine, error) {
	return reconcile.New(reconcile.Config{Lease: lease, Log: log}, from, conn, producer.BuildFrom(from))
}

// read are the flags of the commands that print dead letters.
type read struct {
	cli.Store `embed:""`
	cli.NATS  `embed:""`
	chosen    `embed:""`
	JSON      bool `name:"json" help:"Print JSON Lines."`
}

// print prints the chosen dead letters as JSON, or as show does.
func (c read) print(ctx context.Context, t *cli.Terminal, show func(reconcile.Letter) error) error {
	if c.JSON {
		encoder := json.NewEncoder(t.Out)
		show = func(letter reconcile.Letter) error { return encoder.Encode(letter) }
	}
	return each(ctx, c.Store, c.NATS, c.chosen, zap.NewNop(), func(engine *reconcile.Engine, filter reconcile.Filter) error {
		printed := 0
		for letter, err := range engine.Letters(ctx, filter) {
			if err == nil {
				err = show(letter)
			}
			if err != nil {
				return err
			}
			if printed++; printed == c.Limit {
				break
			}
		}
		if printed == 0 && !c.JSON {
			fmt.Fprintln(t.Err, "no dead letters")
		}
		return nil
	})
}

// deadListCmd is the command producer dead list.
type deadListCmd struct {
	read `embed:""`
}

func (c *deadListCmd) Run(ctx context.Context, t *cli.Terminal) error {
	w := tabwriter.NewWriter(t.Out, 0, 0, 2, ' ', 0)
	head := "BATCH\tROUND\tSTANDING\tCLASS\tDEAD\tAGE\tMESSAGE\n"
	err := c.print(ctx, t, func(letter reconcile.Letter) error {
		_, err := fmt.Fprintf(w, "%s%s\t%d\t%s\t%s\t%d\t%s\t%s\n", head, letter.ID(), letter.Round, letter.Disposition, cli.Printable(string(letter.Class)),
			len(letter.Failures), age(letter), brief(letter, t.Columns()-len(letter.ID())-besideMessage))
		head = ""
		return err
	})
	if err != nil {
		return err
	}
	return w.Flush()
}

// each opens what the flags name and calls do with it.
func each(ctx context.Context, flags cli.Store, nats cli.NATS, c chosen, log *zap.Logger, do func(*reconcile.Engine, reconcile.Filter) error) error {
	filter, err := c.filter()
	if err != nil {
		return err
	}
	engine, closeBoth, err := openBoth(ctx, flags, nats, 0, log)
	if err != nil {
		return err
	}
	defer closeBoth()
	return do(engine, filter)
}
