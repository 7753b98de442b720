package command

import (
	"fmt"

	"gleaner/internal/advice"
	"gleaner/internal/cli"
	"gleaner/internal/local"
	"gleaner/internal/view"
)

// unanswered shows why generations of a run that has ended have no answer, and returns that as an
// error; nil: all have one.
func unanswered(t *cli.Terminal, asJSON bool, s local.Summary) error {
	missing := s.Generations - s.Stored
	if missing <= 0 {
		return nil
	}
	if !asJSON { // where they are part of the summary
		_ = view.Print(t.Err, view.Failures(s.Failures, t.TalkColumns())) // as all talk
	}
	err := fmt.Errorf("run %s: %s no answer: `%s` lists them", s.Run, view.Plural(missing, "generation has", "generations have"),
		advice.Command("dead list", "--run", s.Run, "--each"))
	return &cli.Exit{Code: cli.DeadLetters, Err: err}
}
