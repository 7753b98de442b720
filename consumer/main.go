// Consumer is the GPU's side of Gleaner: it takes batches from the queue, generates their answers
// with Ollama and publishes them.
package main

import (
	"gleaner/internal/cli"
	"gleaner/internal/command/consume"
)

const description = "Take batches from the queue, generate their answers with Ollama, and publish them."

func main() { cli.Main("consumer", description, &consume.Command{}) }
