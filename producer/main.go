// Producer is the operator's side of Gleaner: it loads a dataset as a run, publishes its batches
// and shows how far it is.
package main

import (
	"gleaner/internal/cli"
	"gleaner/internal/command"
)

const description = "Turn a dataset into a run, put its batches on the queue, and see how far it is."

type commands struct {
	Bare cli.Bare `cmd:"" default:"1" hidden:"" help:"Show this help."`
	Help cli.Help `cmd:"" hidden:"" help:"Show the help of a command."`

	Preview command.Preview `cmd:"" help:"Show some rows of a dataset with the messages that are sent, and what a model answers. Nothing is written."`
	Plan    command.Plan    `cmd:"" help:"Say what a run will cost, and whether it fits into free tiers, before anything is spent."`
	Load    command.LoadRun `cmd:"" help:"Load a dataset as a run into the store."`
	Publish command.Publish `cmd:"" help:"Put the batches of a run on the queue."`
	Status  command.Status  `cmd:"" help:"Show all runs, or one of them."`
	Delete  command.Delete  `cmd:"" help:"Remove a run and all its results."`
	Dead    command.Dead    `cmd:"" help:"What could not be generated: list, show, redrive, drop, give up."`
	Audit   command.Audit   `cmd:"" help:"Check that every generation of a run is accounted for."`
	Pause   command.Pause   `cmd:"" help:"Stop handing out the batches of a run."`
	Resume  command.Resume  `cmd:"" help:"Hand them out again."`
	Pin     command.Pin     `cmd:"" help:"Change of which digest of its model a run takes answers."`
	Cancel  command.Cancel  `cmd:"" help:"End a run: its batches leave the queue, its answers stay."`
}

func main() { cli.Main("producer", description, &commands{}) }
