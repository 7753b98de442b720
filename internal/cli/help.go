package cli

import "github.com/alecthomas/kong"

// Help is a command that shows the help of its program. As the default command it answers a
// command line without a command.
type Help struct{}

// Run prints what --help prints for the whole program.
func (Help) Run(command *kong.Context) error {
	return (&kong.Context{Kong: command.Kong}).PrintUsage(false)
}
