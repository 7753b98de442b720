package pipeline

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMeasuresAddUpLengthsAndTheTimeOfWork(t *testing.T) {
	at := func(seconds int) time.Time { return time.Unix(int64(seconds), 0) }
	for name, c := range map[string]struct {
		lengths []LengthCount
		spans   []Span
		want    Measures
	}{
		"nothing": {nil, nil, Measures{}},
		"one":     {[]LengthCount{{7, 1, 1}}, []Span{{at(0), at(5)}}, Measures{1, 1, 7, 7, 7, 5 * time.Second}},
		"two":     {[]LengthCount{{9, 1, 0}, {7, 1, 0}}, []Span{{at(10), at(12)}, {at(0), at(5)}}, Measures{2, 0, 7, 7, 9, 7 * time.Second}},
		"many":    {[]LengthCount{{1, 10, 0}, {5, 11, 3}, {90, 1, 0}}, []Span{{at(0), at(100)}, {at(20), at(30)}, {at(90), at(110)}, {at(3600), at(3605)}}, Measures{22, 3, 1, 5, 90, 115 * time.Second}},
	} {
		if diff := cmp.Diff(c.want, Measure(c.lengths, c.spans)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
