// Sink is the store's side of Gleaner: it writes results to the store, shows them, and exports
// the dataset.
package main

import (
	"gleaner/internal/cli"
	"gleaner/internal/command"
)

const description = "Write results to the store, read them in the terminal, and export the dataset."

type commands struct {
	Bare cli.Bare `cmd:"" default:"1" hidden:"" help:"Show this help."`
	Help cli.Help `cmd:"" hidden:"" help:"Show the help of a command."`

	Serve  command.RunSink `cmd:"" help:"Write results from the stream to the store until stopped."`
	Show   command.Show    `cmd:"" help:"Read some answers in the terminal."`
	Export command.Export  `cmd:"" help:"Write a run as a dataset."`
}

func main() { cli.Main("sink", description, &commands{}) }
