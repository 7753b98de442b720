package local_test

import (
	"strings"
	"testing"

	"gleaner/internal/local"
	"gleaner/internal/ollamasim"
	"gleaner/internal/ollamasim/disguisetest"
)

func TestEachServerIsOneGPUAndGetsTheModelThatItLacks(t *testing.T) {
	_, has := disguisetest.Start(t, ollamasim.Config{Models: []string{"m"}, Instant: true})
	_, lacks := disguisetest.Start(t, ollamasim.Config{Models: []string{"other"}, Instant: true})
	pulled := 0
	servers, err := local.ChooseServers(t.Context(), local.ServersConfig{URLs: []string{has, lacks}, Model: "m", Pulling: func(string, int64, int64) { pulled++ }})
	if err != nil {
		t.Fatal(err)
	}
	defer servers.Close()
	if len(servers.GPUs) != 2 || pulled == 0 || servers.GPUs[0].Model.Digest != servers.GPUs[1].Model.Digest || !servers.GPUs[1].Auto || servers.GPUs[1].Slots != 16 {
		t.Errorf("pulled is told %d times; %+v", pulled, servers.GPUs)
	}
	if lanes := []string{servers.GPUs[0].Name, servers.GPUs[1].Name}; "http://"+lanes[0] != has || "http://"+lanes[1] != lacks {
		t.Errorf("the GPUs are called %v", lanes)
	}
}

func TestServersWithDifferentWeightsUnderOneNameAreRefused(t *testing.T) {
	a, b := strings.Repeat("a1", 32), strings.Repeat("b2", 32)
	_, first := disguisetest.Start(t, ollamasim.Config{Models: []string{"m"}, Digest: a, Instant: true})
	_, second := disguisetest.Start(t, ollamasim.Config{Models: []string{"m"}, Digest: b, Instant: true})
	_, err := local.ChooseServers(t.Context(), local.ServersConfig{URLs: []string{first, second}, Model: "m"})
	if err == nil {
		t.Fatal("they are taken")
	}
	for _, want := range []string{"a1a1", "b2b2", first, second, "ollama pull m", "--ollama"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
}
