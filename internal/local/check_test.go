package local_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gleaner/internal/local"
	"gleaner/internal/ollama"
	"gleaner/internal/ollamasim"
	"gleaner/internal/ollamasim/disguisetest"
	"gleaner/internal/pipeline"
)

func TestTheModelOfARunIsKnownBeforeItBegins(t *testing.T) {
	sim, real := disguisetest.Start(t, ollamasim.Config{Models: []string{"first", "second"}, Instant: true})
	pretends, err := sim.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const none = "http://127.0.0.1:1"
	for name, c := range map[string]struct {
		cfg       local.ServersConfig
		model     string
		simulated bool
		how       string
	}{
		"the first of a server":     {local.ServersConfig{URLs: []string{real}}, "first", false, "the first that the server at " + real + " has"},
		"as asked for":              {local.ServersConfig{URLs: []string{real}, Model: "second"}, "second", false, "as asked for"},
		"which has to be pulled":    {local.ServersConfig{URLs: []string{real}, Model: "third"}, "third", false, "so it is pulled first"},
		"without a server":          {local.ServersConfig{URLs: []string{none}, Model: "m"}, "m", false, "no server answers at " + none + " now"},
		"not known":                 {local.ServersConfig{URLs: []string{none}}, "", false, "none answers there now"},
		"simulated as asked for":    {local.ServersConfig{URLs: []string{real}, Simulate: true, Model: "m"}, "simulated/m", true, "--simulate"},
		"simulated, for the demo":   {local.ServersConfig{URLs: []string{none}, Fallback: true}, ollamasim.DefaultModel, true, "no real Ollama answers at " + none},
		"the demo, where one is":    {local.ServersConfig{URLs: []string{pretends}, Fallback: true}, ollamasim.DefaultModel, true, "no real Ollama answers at"},
		"the demo with a real one":  {local.ServersConfig{URLs: []string{real}, Fallback: true}, "first", false, "the first that"},
		"of a server without a URL": {local.ServersConfig{URLs: []string{strings.TrimPrefix(real, "http://")}}, "first", false, "the first that"},
	} {
		got, err := local.ChooseModel(t.Context(), c.cfg)
		got.Model = strings.TrimSuffix(got.Model, map[bool]string{false: ":latest"}[c.simulated])
		if err != nil || got.Model != c.model || got.Simulated != c.simulated || !strings.Contains(got.How, c.how) {
			t.Errorf("%s: %+v, %v; want %q, %q", name, got, err, c.model, c.how)
		}
	}
	var is *local.NoServerError
	if _, err := local.ChooseModel(t.Context(), local.ServersConfig{URLs: []string{pretends}, Model: "m"}); !errors.As(err, &is) || !is.Simulated {
		t.Errorf("a simulated server is taken for a real one: %v", err)
	}
}

// A preview has nothing pulled.
func TestAModelIsPulledOnlyWhereThatIsAllowed(t *testing.T) {
	_, real := disguisetest.Start(t, ollamasim.Config{Models: []string{"first"}, Instant: true})
	_, err := local.ChooseServers(t.Context(), local.ServersConfig{URLs: []string{real}, Model: "missing", NoPull: true, Pulling: func(string, int64, int64) { t.Error("it is pulled") }})
	if !errors.Is(err, ollama.ErrNoModel) {
		t.Errorf("%v", err)
	}
}

func TestACheckMakesNothing(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	checked, err := local.Check(t.Context(), local.Config{
		Spec:    pipeline.Spec{Model: "m", Field: "question", Samples: 2, Batch: 1, Options: pipeline.Options{NumPredict: 10}},
		Dataset: local.Problems(3), Data: data,
	})
	if err != nil {
		t.Fatal(err)
	}
	if checked.Run.Generations != 6 || checked.Export.Out != filepath.Join(data, checked.Run.Name+".jsonl") || checked.Run.Name == "unnamed" {
		t.Errorf("it finds %+v, and writes to %s", checked.Run, checked.Export.Out)
	}
	if _, err := os.Stat(data); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is there: %v", err)
	}
}
