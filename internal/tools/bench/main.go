// Bench measures what Gleaner promises: that GPUs are kept busy, how many answers a second it can
// move, how fast datasets go in and out, and what programs without work send. It prints tables for
// people and writes the same figures as JSON.
package main

import "gleaner/internal/cli"

const description = "Measure how busy GPUs are kept, how much the pipeline can carry, how fast datasets of each format go in and out, and what programs without work send. Everything runs on this machine with real parts; only the GPUs are simulated."

type commands struct {
	Run   runCmd   `cmd:"" default:"withargs" help:"Measure (the default)."`
	Slots slotsCmd `cmd:"" help:"Measure fixed numbers of slots on a real Ollama server beside the one that the consumer finds."`
	Child childCmd `cmd:"" hidden:"" help:"One step of formats, in a process of its own so that its peak memory is its own."`
}

func main() { cli.Main("bench", description, &commands{}) }
