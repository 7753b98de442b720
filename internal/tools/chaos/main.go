//go:build unix

// Chaos runs the whole pipeline as separate processes while everything around it breaks, and
// proves at the end that nothing was lost, doubled, changed or forged. What breaks and when follows
// from a seed.
package main

import "gleaner/internal/cli"

const description = "Run the whole pipeline as separate processes while they are killed, stopped and cut off, and prove that nothing was lost, doubled, changed or forged."

func main() { cli.Main("chaos", description, &command{}) }
