package command

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"gleaner/internal/cli"
	"gleaner/internal/outage"
)

// Complete is the hidden command complete, which the scripts of the command completion ask.
type Complete struct {
	cli.RunsFlags `embed:""`
	Words         []string `arg:"" optional:"" help:"The words behind gleaner, of which the last is to be completed."`
}

// completeWithin is how long a person waits for names of runs, at most.
const completeWithin = time.Second

// Run prints the words by which the last one can go on, one in a line.
func (c *Complete) Run(ctx context.Context, t *cli.Terminal, command *kong.Context) error {
	found := cli.Complete(command.Kong, c.Words)
	if found.Runs {
		found.Words = c.runs(ctx, c.Words[len(c.Words)-1])
	}
	for _, word := range found.Words {
		fmt.Fprintln(t.Out, word)
	}
	return nil
}

// runs returns the names of runs that begin so: of the folder or store that the line names, or
// else that all commands find. Without an answer there are none.
func (c *Complete) runs(ctx context.Context, begin string) (names []string) {
	for i, word := range c.Words[:len(c.Words)-1] {
		switch word {
		case "--data":
			c.Data, c.Store = c.Words[i+1], ""
		case "--store":
			c.Data, c.Store = "", c.Words[i+1]
		}
	}
	ctx, cancel := context.WithTimeout(outage.WithPatience(ctx, completeWithin), completeWithin)
	defer cancel()
	store, _, err := openRuns(ctx, &cli.Terminal{Err: io.Discard}, c.RunsFlags)
	if err != nil {
		return nil
	}
	defer store.Close()
	runs, err := store.Runs(ctx)
	if err != nil {
		return nil
	}
	for _, run := range runs {
		if strings.HasPrefix(run.Name, begin) {
			names = append(names, run.Name)
		}
	}
	return names
}
