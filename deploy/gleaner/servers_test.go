package main

import (
	"strings"
	"testing"

	"gleaner/internal/cli/processtest"
)

func TestTheServersForTryingThingsOutSayWhereTheyAre(t *testing.T) {
	for ready, args := range map[string][]string{
		"NATS is ready":                 {"nats", "--addr", "127.0.0.1:0", "--data", t.TempDir()},
		"the simulated Ollama is ready": {"simulate", "--addr", "127.0.0.1:0"},
	} {
		server := processtest.Start(t, program(t, args...))
		server.WaitFor(ready)
		server.Stops()
		if url := server.Out.String(); !strings.Contains(url, "://127.0.0.1:") {
			t.Errorf("%v prints %q", args, url)
		}
	}
}
