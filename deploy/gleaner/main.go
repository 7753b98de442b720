// Gleaner is every command of Gleaner in one program, and run, which does everything on one machine
// with nothing to install: a dataset goes in, a dataset with answers comes out.
package main

import (
	"gleaner/internal/cli"
	"gleaner/internal/command"
	"gleaner/internal/command/consume"
)

const description = "Turn a dataset of instructions into a dataset of model answers. Try it: gleaner run"

type commands struct {
	Welcome  command.Welcome  `cmd:"" default:"1" hidden:"" help:"Show this help, and the runs of this folder."`
	Help     cli.Help         `cmd:"" hidden:"" help:"Show the help of a command."`
	Complete command.Complete `cmd:"" hidden:"" help:"Complete a command line."`

	Run     command.RunLocal `cmd:"" group:"Run things:" help:"Everything on this machine: from the rows of a dataset to the exported file. Without --input: fifty word problems, as a demo."`
	Preview command.Preview  `cmd:"" group:"Run things:" help:"Show some rows of a dataset with the messages that are sent, and what a model answers. Nothing is written."`
	Plan    command.Plan     `cmd:"" group:"Run things:" help:"Say what a run will cost, and whether it fits into free tiers, before anything is spent."`
	Load    command.LoadRun  `cmd:"" group:"Run things:" help:"Load a dataset as a run into the store of a team."`
	Publish command.Publish  `cmd:"" group:"Run things:" help:"Put the batches of a run on the queue, and follow it to its end."`
	Work    consume.Command  `cmd:"" group:"Run things:" help:"Where the GPUs are: take batches from the queue, generate their answers with Ollama, and publish them."`
	Serve   command.Serve    `cmd:"" group:"Run things:" help:"The operator's side in one process: publish and follow all open runs, and store their answers, until stopped."`
	Sink    command.RunSink  `cmd:"" group:"Run things:" help:"Write results from the queue to the store until stopped."`
	Export  command.Export   `cmd:"" group:"Run things:" help:"Write the answers of a run as a dataset, also while it goes on."`

	Status command.Status `cmd:"" group:"Look:" help:"Show all runs, or one of them."`
	Show   command.Show   `cmd:"" group:"Look:" help:"Read some answers in the terminal."`
	Audit  command.Audit  `cmd:"" group:"Look:" help:"Check that every generation of a run is accounted for."`
	Config cli.ShowConfig `cmd:"" group:"Look:" help:"Show what is in force for the flags of a command, and where it is from."`

	Dead   command.Dead   `cmd:"" group:"Mend:" help:"What could not be generated: list, show, redrive, drop, give up."`
	Pause  command.Pause  `cmd:"" group:"Mend:" help:"Stop handing out the batches of a run."`
	Resume command.Resume `cmd:"" group:"Mend:" help:"Hand them out again."`
	Pin    command.Pin    `cmd:"" group:"Mend:" help:"Change of which digest of its model a run takes answers."`
	Cancel command.Cancel `cmd:"" group:"Mend:" help:"End a run: its batches leave the queue, its answers stay."`
	Delete command.Delete `cmd:"" group:"Mend:" help:"Remove a run and all its results."`

	Invite     command.Invite          `cmd:"" group:"Set up:" help:"Make one string of all that a helper needs to work for a run."`
	Doctor     command.Doctor          `cmd:"" group:"Set up:" help:"Look whether NATS, store, model server, GPUs and this machine are in order, and say what to do if not."`
	Completion cli.CompletionScript    `cmd:"" group:"Set up:" help:"Print what a shell reads to complete commands, flags and names of runs."`
	NATS       command.NATSServer      `cmd:"" name:"nats" group:"Set up:" help:"Run the embedded NATS server alone, for trying things out."`
	Simulate   command.SimulatedOllama `cmd:"" aliases:"ollama" group:"Set up:" help:"Run the simulated Ollama alone, for trying things out."`
}

func main() { cli.Main("gleaner", description, &commands{}) }
