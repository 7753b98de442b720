package command

import (
	"bufio"
	"fmt"
	"strings"

	"gleaner/internal/cli"
	"gleaner/internal/pipeline"
)

// confirm says what is about to be done to a run, which cannot be undone, and asks the user to type
// the run's name, unless yes was given.
func confirm(t *cli.Terminal, yes bool, run pipeline.Run, what string) error {
	if yes {
		return nil
	}
	if !t.Interactive() {
		return cli.Usage("%s Say --yes where no one can be asked", what)
	}
	fmt.Fprintf(t.Err, "%s\nType the run's name to go on: ", what)
	answer, err := bufio.NewReader(t.In).ReadString('\n')
	if err != nil || strings.TrimSpace(answer) != run.Name {
		return &cli.Exit{Code: cli.Failed, Err: fmt.Errorf("nothing was changed")}
	}
	return nil
}
