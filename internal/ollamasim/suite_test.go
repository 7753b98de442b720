package ollamasim_test

import (
	"strings"
	"testing"

	"gleaner/internal/ollama/ollamatest"
	"gleaner/internal/ollamasim"
	"gleaner/internal/ollamasim/disguisetest"
	"gleaner/internal/ollamasim/simtest"
)

// The suite does not tell a simulated server in disguise from a real one.
func TestTheDisguisedServerPassesTheSuiteUnderPlainNames(t *testing.T) {
	_, url := disguisetest.Start(t, ollamasim.Config{Models: []string{"tiny", "tiny-endless", "tiny-loop", "tiny-tools", "tiny-plain", "tiny-thinks"}, Context: 1024, Speed: 50})
	ollamatest.Run(t, url, ollamatest.TinyModels())
	if status, body := ask(t, "POST", url+"/api/show", `{"model":"simulated/tiny"}`); status != 404 {
		t.Errorf("it knows a simulated model: %d %s", status, body)
	}
	for _, call := range []string{"GET /api/version", "GET /api/tags", "GET /api/ps"} {
		method, path, _ := strings.Cut(call, " ")
		if _, body := ask(t, method, url+path, ""); strings.Contains(body, "simulated") {
			t.Errorf("%s: %s", call, body)
		}
	}
}

func TestTheSimulatedServerPassesTheSuiteOfTheRealOne(t *testing.T) {
	_, url := simtest.Start(t, ollamasim.Config{
		Models:  []string{"tiny", "tiny-endless", "tiny-loop", "tiny-tools", "tiny-plain", "tiny-thinks"},
		Context: 1024,
		Speed:   50,
	})
	ollamatest.Run(t, url, ollamatest.Models{Stop: "simulated/tiny", Endless: "simulated/tiny-endless", Loop: "simulated/tiny-loop", Tools: "simulated/tiny-tools", Plain: "simulated/tiny-plain", Thinks: "simulated/tiny-thinks"})
}
