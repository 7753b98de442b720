// Gleaner runs all of Gleaner on one machine in one process, with nothing to install: a dataset
// goes in, a dataset with answers comes out.
package main

import "gleaner/internal/cli"

const description = "Run all of Gleaner on this machine. Without a dataset and without Ollama it shows itself on fifty word problems with a simulated model."

type commands struct {
	Run    runCmd    `cmd:"" default:"withargs" help:"Generate a dataset, from its rows to the exported file (the default)."`
	NATS   natsCmd   `cmd:"" name:"nats" help:"Run the embedded NATS server alone, for the three programs."`
	Ollama ollamaCmd `cmd:"" name:"ollama" help:"Run the simulated Ollama alone, for the three programs."`
}

func main() { cli.Main("gleaner", description, &commands{}) }
