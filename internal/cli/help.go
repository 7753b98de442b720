package cli

import (
	"strings"

	"github.com/alecthomas/kong"
)

// Bare is what answers a command line without a command: with the help of the program.
type Bare struct{}

// Run prints what --help prints for the whole program.
func (Bare) Run(command *kong.Context) error {
	return (&kong.Context{Kong: command.Kong}).PrintUsage(false)
}

// Help is the command help.
type Help struct {
	Verb []string `arg:"" optional:"" help:"A command, such as dead list."`
}

// Run prints what --help prints for the whole program, or for a command.
func (h *Help) Run(command *kong.Context) error {
	asked, err := kong.Trace(command.Kong, h.Verb)
	if err != nil {
		return err
	}
	if asked.Error != nil && len(h.Verb) > 0 && (asked.Selected() == nil || !strings.HasPrefix(asked.Error.Error(), "expected")) {
		return Usage("%v. %s --help lists all commands", asked.Error, command.Model.Name)
	}
	return asked.PrintUsage(false)
}
