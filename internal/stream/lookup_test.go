package stream

import (
	"testing"

	"gleaner/internal/natsd/natsdtest"

	"github.com/google/go-cmp/cmp"
)

func TestBatchesWithAnswersOnTheirWayAreListed(t *testing.T) {
	s := natsdtest.Start(t, usersConfig())
	c := ready(t, Config{URL: s.URL()})
	for _, batch := range []int{3, 7} {
		must(t, c.PublishResults(t.Context(), testResults("r", batch, "Because.")))
	}
	must(t, c.PublishResults(t.Context(), testResults("other", 4, "Because.")))
	got, err := c.Arriving(t.Context(), "r")
	must(t, err)
	if diff := cmp.Diff(map[int]bool{3: true, 7: true}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
