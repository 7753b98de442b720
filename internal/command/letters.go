package command

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/advice"
	"gleaner/internal/cli"
	"gleaner/internal/pipeline"
	"gleaner/internal/producer"
	"gleaner/internal/reconcile"
	"gleaner/internal/text"
	"gleaner/internal/view"
)

// letterFlags choose dead letters, and say where they are.
type letterFlags struct {
	cli.RunsFlags     `embed:""`
	cli.ProgressFlags `embed:""`
	cli.NATSFlags     `embed:""`
	Name              string           `name:"run" placeholder:"NAME" help:"Of this run only."`
	Batch             []int            `byhand:"" placeholder:"INDEX" help:"Of these batches only."`
	Row               []string         `byhand:"" sep:"none" placeholder:"ID" help:"Of the batches in which these rows failed: a row's own id, if the run was loaded with --id, or Gleaner's, such as NAME/000000012. Needs --run; may be repeated."`
	Class             []pipeline.Class `byhand:"" placeholder:"CLASS" help:"Of these classes, with commas between them."`
	Message           string           `byhand:"" placeholder:"REGEXP" help:"Whose message matches."`
	OlderThan         time.Duration    `byhand:"" placeholder:"AGE" help:"That failed at least this long ago, such as 2h."`
	NewerThan         time.Duration    `byhand:"" placeholder:"AGE" help:"That failed at most this long ago."`
	Orphaned          bool             `byhand:"" help:"Letters of runs that are not in the store, and those that cannot be read. All others are left out then, and without this flag these are."`
	Limit             int              `byhand:"" placeholder:"N" help:"At most this many."`
}

// Help is called by kong.
func (letterFlags) Help() string { return "The classes of dead letters:\n\n" + view.Classes() }

// filter returns what the flags choose.
func (f letterFlags) filter() (reconcile.Filter, error) {
	filter := reconcile.Filter{Run: f.Name, Batches: f.Batch, Classes: f.Class, OlderThan: f.OlderThan, NewerThan: f.NewerThan, Orphaned: f.Orphaned}
	if len(f.Row) > 0 && f.Name == "" {
		return filter, cli.Usage("row: it is one of a run: say which with --run NAME")
	}
	if f.Limit < 0 {
		return filter, cli.Usage("limit %d is negative", f.Limit)
	}
	for _, class := range f.Class {
		if !class.IsOutcome() {
			return filter, cli.Usage("class %q: no dead letter has it%s", class, text.DidYouMean(string(class), pipeline.LetterClasses()))
		}
	}
	if f.Message != "" {
		var err error
		if filter.Pattern, err = regexp.Compile(f.Message); err != nil {
			return filter, cli.Usage("message: %v", err)
		}
	}
	return filter, nil
}

// choosesAll reports whether no flag says which letters are meant.
func (f letterFlags) choosesAll() bool {
	return f.Name == "" && len(f.Batch) == 0 && len(f.Class) == 0 && f.Message == "" && f.OlderThan == 0 && f.NewerThan == 0 && !f.Orphaned
}

// open opens the store and the streams, and calls do with the engine and what the flags choose.
func (f letterFlags) open(ctx context.Context, t *cli.Terminal, log *zap.Logger, do func(opened, reconcile.Filter) error) error {
	filter, err := f.filter()
	if err != nil {
		return err
	}
	both, err := openBoth(ctx, t, f.RunsFlags, f.NATSFlags, log)
	if err != nil {
		return err
	}
	defer both.close()
	if f.Name != "" && !f.Orphaned { // whose run may be gone
		run, err := both.store.Run(ctx, f.Name)
		if err == nil {
			err = hasBatches(run, f.Batch)
		}
		if err != nil {
			return err
		}
		if filter.Items, err = findItems(ctx, view.NewProgress(t, f.ProgressFlags), both.store, run, f.Row); err != nil {
			return err
		}
	}
	return do(both, filter)
}

// none returns an error if batches or rows were named that have no dead letter.
func (f letterFlags) none() error {
	if len(f.Batch)+len(f.Row) == 0 {
		return nil
	}
	return cli.Usage("no dead letter is of what was named: `%s` lists those that there are", advice.Command("dead list", "--run", cmp.Or(f.Name, "NAME"), "--each"))
}

// readFlags are the flags of the commands that print dead letters.
type readFlags struct {
	letterFlags `embed:""`
	JSON        bool `name:"json" help:"Print JSON Lines."`
}

// print prints the chosen dead letters as JSON, or calls show with each.
func (f readFlags) print(ctx context.Context, t *cli.Terminal, show func(reconcile.Letter) error) error {
	ctx = brief(ctx)
	if f.JSON {
		show = func(letter reconcile.Letter) error { return cli.PrintJSON(t.Out, letter) }
	}
	return f.open(ctx, t, zap.NewNop(), func(o opened, filter reconcile.Filter) error {
		printed, others := 0, 0
		filter.Others = &others
		for letter, err := range o.reconciler.Letters(ctx, filter) {
			if err == nil {
				letter.Rows, err = producer.RowIDs(ctx, o.store, letter.Owner, letter.Failures)
			}
			if err == nil {
				err = show(letter)
			}
			if err != nil {
				return err
			}
			if printed++; printed == f.Limit {
				break
			}
		}
		if printed == 0 && !f.JSON {
			fmt.Fprintln(t.Err, "no dead letters")
		}
		if !f.Orphaned {
			noteOthers(t, others)
		}
		if printed == 0 {
			return f.none()
		}
		return nil
	})
}

// noteOthers says that there are letters which are left out unless they are asked for.
func noteOthers(t *cli.Terminal, others int) {
	if others > 0 {
		fmt.Fprintf(t.Err, "%s not shown: of runs that are not in the store, or not readable; see them with --orphaned\n", view.Plural(others, "letter is", "letters are"))
	}
}

// printReport prints what became of the chosen dead letters, as JSON or in the given words. An
// error that ended the work does not keep the report from being printed; it is returned.
func printReport(t *cli.Terminal, asJSON bool, report any, words string, ended error) error {
	var err error
	if asJSON {
		err = cli.PrintJSON(t.Out, report)
	} else {
		_, err = fmt.Fprintln(t.Out, words)
	}
	if ended != nil {
		return ended
	}
	return err
}
