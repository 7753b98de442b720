package pipeline

import "testing"

func TestTheFirstBoundThatARunMeets(t *testing.T) {
	for name, c := range map[string]struct {
		fleet  FleetShape
		hosted bool
		bound  string
		gpus   int
	}{
		"notebooks on a free account":              {FleetShape{GPUsEach: 2, Slots: 8, Batches: 1e6}, true, "connections", 16},
		"a machine of many GPUs on one":            {FleetShape{GPUsEach: 30, Slots: 8, Batches: 1e6}, true, "subscriptions of a connection", 1},
		"notebooks and a server of one's own":      {FleetShape{GPUsEach: 2, Slots: 8, Batches: 1e6}, false, "waiting pulls", 1024},
		"a small run":                              {FleetShape{GPUsEach: 2, Slots: 8, Batches: 60}, true, "batches of a run", 6},
		"a window that a person has set":           {FleetShape{GPUsEach: 2, Slots: 8, Batches: 1e6, Window: 100}, true, "window of the producer", 10},
		"GPUs with many slots, and a fixed window": {FleetShape{GPUsEach: 1, Slots: 1500, Batches: 1e6, Window: 2000}, false, "window of the producer", 1},
	} {
		t.Run(name, func(t *testing.T) {
			if b := FirstBound(c.fleet, c.hosted); b.Name != c.bound || b.GPUs != c.gpus {
				t.Errorf("%s at %d GPUs, want %s at %d", b.Name, b.GPUs, c.bound, c.gpus)
			}
		})
	}
}

func TestEachBoundSaysWhereItIsSetAndWhatHappensAtIt(t *testing.T) {
	for _, b := range Bounds() {
		if b.Name == "" || b.SetIn == "" || b.AtIt == "" || b.Default == 0 {
			t.Errorf("%+v", b)
		}
	}
}
