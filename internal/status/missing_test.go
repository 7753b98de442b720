package status

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

func TestARollKnowsWhoIsMissing(t *testing.T) {
	start := time.Unix(1000, 0)
	here := func(id string, state pipeline.GPUState, at int) pipeline.Presence {
		return pipeline.Presence{ID: id, Host: "host-" + id, Seen: start.Add(time.Duration(at) * time.Second), GPUs: []pipeline.GPUStatus{{State: state}}}
	}
	var r Roll
	for _, step := range []struct {
		at      int
		present []pipeline.Presence
		want    []string // with the seconds
	}{
		{0, []pipeline.Presence{here("a", pipeline.GPUServing, 0), here("b", pipeline.GPUServing, 0), here("c", pipeline.GPUServing, 0)}, nil},
		{60, []pipeline.Presence{here("b", pipeline.GPUServing, 50), here("c", pipeline.GPUStopped, 55)}, []string{"a 1m0s"}},
		{90, []pipeline.Presence{here("d", pipeline.GPUServing, 90)}, []string{"a 1m30s", "b 40s"}}, // c said that it ends
		{95, []pipeline.Presence{here("a", pipeline.GPUServing, 99)}, []string{"b 45s", "d 5s"}},    // a is back
		{97, nil, []string{"b 47s", "d 7s", "a 0s"}},                                                // its clock is ahead
		{99, []pipeline.Presence{here("a", pipeline.GPUStopped, 99)}, []string{"b 49s", "d 9s"}},
	} {
		var got []string
		for _, m := range r.Call(step.present, start.Add(time.Duration(step.at)*time.Second)) {
			got = append(got, m.Consumer+" "+m.Ago.String())
		}
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("after %d seconds (-want +got):\n%s", step.at, diff)
		}
	}
}
