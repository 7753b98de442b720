// Package simtest runs simulated servers for the time of a test.
package simtest

import (
	"testing"

	"gleaner/internal/ollamasim"
)

// Start starts a simulated server to which these faults happen, until the test ends, and returns
// its URL.
func Start(t testing.TB, cfg ollamasim.Config, faults ...ollamasim.Fault) (sim *ollamasim.Server, url string) {
	t.Helper()
	sim = ollamasim.New(cfg)
	t.Cleanup(sim.Close)
	for _, f := range faults {
		sim.Inject(f)
	}
	url, err := sim.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return sim, url
}
