package consume

import (
	"strings"
	"testing"

	"gleaner/internal/pipeline"
)

func TestServersAreStartedWithTheContextThatTheRunNeeds(t *testing.T) {
	given := 6000
	for _, c := range []struct {
		flag  *int
		needs int
		want  int // 0: it is refused
	}{
		{nil, 0, 4096}, {nil, 2048, 4096}, {nil, 8192, 8192},
		{&given, 0, 6000}, {&given, 6000, 6000}, {&given, 8192, 0},
	} {
		got, err := (&serverFlags{Context: c.flag}).context(pipeline.RunInfo{Run: "r", NumCtx: c.needs})
		if got != c.want || (err == nil) != (c.want > 0) || err != nil && !strings.Contains(err.Error(), "--context 6000 is less than run r needs, which is 8192 (--num-ctx)") {
			t.Errorf("--context %v for a run that needs %d: %d, %v", c.flag, c.needs, got, err)
		}
	}
}
