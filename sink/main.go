// Sink is the store's side of Gleaner: it writes results to the store, shows them, and exports
// the dataset.
package main

import "gleaner/internal/cli"

const description = "Write results to the store, read them in the terminal, and export the dataset."

type commands struct {
	Serve  serveCmd  `cmd:"" help:"Write results from the stream to the store until stopped."`
	Show   showCmd   `cmd:"" help:"Read some answers in the terminal."`
	Export exportCmd `cmd:"" help:"Write a run as a dataset."`
}

func main() { cli.Main("sink", description, &commands{}) }
