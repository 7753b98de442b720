package producer

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestQuantilesOfLengthsAreNearTheRealOnes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for name, draw := range map[string]func() int{
		"short":     func() int { return r.IntN(128) },
		"alike":     func() int { return 4711 },
		"as people": func() int { return int(math.Exp(r.NormFloat64()*0.8 + 6)) },
		"very long": func() int { return r.IntN(1 << 40) },
	} {
		var lengths Lengths
		all := make([]int, 20_000)
		for i := range all {
			all[i] = draw()
			lengths.add(all[i], func() (string, int) { return "f", i + 1 })
		}
		longest := slices.Max(all)
		if lengths.Max() != longest || all[lengths.Line-1] != longest || slices.Index(all, longest) != lengths.Line-1 {
			t.Errorf("%s: the longest has %d bytes in line %d, want %d in %d", name, lengths.Max(), lengths.Line, longest, slices.Index(all, longest)+1)
		}
		slices.Sort(all)
		for _, share := range []float64{0.01, 0.5, 0.99, 0.9999, 1} {
			want := all[int(math.Ceil(share*float64(len(all))))-1]
			if got := lengths.Quantile(share); math.Abs(float64(got-want)) > 0.008*float64(want) {
				t.Errorf("%s: %v of them have %d bytes at most, want %d", name, share, got, want)
			}
		}
		if len(lengths.counts) > 8000 {
			t.Errorf("%s: %d counts are kept", name, len(lengths.counts))
		}
	}
}

func TestLengthsOfFewRequestsAreExact(t *testing.T) {
	var none Lengths
	if none.Quantile(0.5) != 0 || none.Max() != 0 {
		t.Error("there are none, and they have a length")
	}
	var one Lengths
	one.add(0, func() (string, int) { return "f", 7 })
	if one.Quantile(0.5) != 0 || one.Max() != 0 || one.Line != 7 {
		t.Errorf("of one empty request: %+v", one)
	}
	one.add(100, func() (string, int) { return "f", 8 })
	one.add(100, func() (string, int) { return "f", 9 })
	if one.Quantile(0.3) != 0 || one.Quantile(0.5) != 100 || one.Quantile(0.99) != 100 || one.Line != 8 {
		t.Errorf("of three requests: %+v", one)
	}
}
