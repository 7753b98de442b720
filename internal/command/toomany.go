package command

import (
	"fmt"

	"gleaner/internal/cli"
	"gleaner/internal/producer"
	"gleaner/internal/status"
	"gleaner/internal/view"
)

// failureLimit reads the flag --max-failures.
func failureLimit(flag string) (producer.FailureLimit, error) {
	limit, err := producer.ParseFailureLimit(flag)
	if err != nil {
		return limit, cli.Usage("--max-failures: %v", err)
	}
	return limit, nil
}

// paused shows what failed of a run that is paused because of that, and returns an error that says
// how to go on.
func paused(t *cli.Terminal, asJSON bool, why *producer.TooManyFailures, s status.Snapshot, how string) error {
	if asJSON {
		if err := cli.PrintJSON(t.Out, s); err != nil {
			return err
		}
	} else {
		_ = view.Print(t.Err, view.Failures(s.Failures, t.TalkColumns())) // as all talk
	}
	return fmt.Errorf("%w; nothing is given up. %s", why, how)
}
