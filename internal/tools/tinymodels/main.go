// Command tinymodels gives an Ollama server the models that the project's tests ask for. It waits
// for a server that is just starting.
package main

import (
	"context"
	"fmt"
	"os"

	"gleaner/internal/ollama/ollamatest"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: tinymodels URL")
		os.Exit(2)
	}
	if err := ollamatest.CreateModels(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "tinymodels:", err)
		os.Exit(1)
	}
}
