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
	Help cli.Help `cmd:"" default:"1" hidden:"" help:"Show this help."`

	Run command.RunLocal `cmd:"" group:"Everything on this machine:" help:"Generate a dataset, from its rows to the exported file. Without --input: fifty word problems, as a demo."`

	Preview command.Preview `cmd:"" group:"The operator's side:" help:"Show some rows of a dataset with the messages that are sent, and what a model answers. Nothing is written."`
	Plan    command.Plan    `cmd:"" group:"The operator's side:" help:"Say what a run will cost, and whether it fits into free tiers, before anything is spent."`
	Load    command.LoadRun `cmd:"" group:"The operator's side:" help:"Load a dataset as a run into the store."`
	Publish command.Publish `cmd:"" group:"The operator's side:" help:"Put the batches of a run on the queue."`
	Sink    command.Serve   `cmd:"" group:"The operator's side:" help:"Write results from the stream to the store until stopped."`
	Pause   command.Pause   `cmd:"" group:"The operator's side:" help:"Stop handing out the batches of a run."`
	Resume  command.Resume  `cmd:"" group:"The operator's side:" help:"Hand them out again."`
	Pin     command.Pin     `cmd:"" group:"The operator's side:" help:"Change of which digest of its model a run takes answers."`
	Cancel  command.Cancel  `cmd:"" group:"The operator's side:" help:"End a run: its batches leave the queue, its answers stay."`
	Delete  command.Delete  `cmd:"" group:"The operator's side:" help:"Remove a run and all its results."`

	Work consume.Command `cmd:"" group:"Where the GPUs are:" help:"Take batches from the queue, generate their answers with Ollama, and publish them."`

	Status command.Status `cmd:"" group:"What there is:" help:"Show all runs, or one of them."`
	Show   command.Show   `cmd:"" group:"What there is:" help:"Read some answers in the terminal."`
	Dead   command.Dead   `cmd:"" group:"What there is:" help:"What could not be generated: list, show, redrive, drop, give up."`
	Audit  command.Audit  `cmd:"" group:"What there is:" help:"Check that every generation of a run is accounted for."`
	Export command.Export `cmd:"" group:"What there is:" help:"Write a run as a dataset."`

	Doctor command.Doctor `cmd:"" group:"What there is:" help:"Look whether NATS, store, model server, GPUs and this machine are in order, and what to do if not."`

	Config cli.ShowConfig `cmd:"" group:"What there is:" help:"Show what is in force for the flags of a command, and whether it is from the command line, the environment, or gleaner.yaml."`

	NATS     command.NATSServer      `cmd:"" name:"nats" group:"For trying things out:" help:"Run the embedded NATS server alone."`
	Simulate command.SimulatedOllama `cmd:"" aliases:"ollama" group:"For trying things out:" help:"Run the simulated Ollama alone."`
}

func main() { cli.Main("gleaner", description, &commands{}) }
