package ollamasim_test

import (
	"testing"

	"gleaner/internal/ollama/ollamatest"
	"gleaner/internal/ollamasim"
)

// start returns a server that closes with the test, and its URL.
func start(t testing.TB, cfg ollamasim.Config) (*ollamasim.Server, string) {
	t.Helper()
	s := ollamasim.New(cfg)
	url, err := s.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, url
}

func TestTheSimulatedServerPassesTheSuiteOfTheRealOne(t *testing.T) {
	_, url := start(t, ollamasim.Config{
		Models:  []string{"tiny", "tiny-endless", "tiny-loop"},
		Context: 1024,
		Speed:   50,
	})
	ollamatest.Run(t, url, ollamatest.Models{Stop: "tiny", Endless: "tiny-endless", Loop: "tiny-loop"})
}
