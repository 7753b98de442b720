package pipeline

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever the sizes are, a message that Fit returns has room, names each generation once, and
// leaves none waiting unless another one goes out: so rounds come to an end.
func TestWhatFitsHasRoomAndTheRestComesToAnEnd(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		sizes := rapid.SliceOfN(rapid.IntRange(1, 20), 1, 8).Draw(rt, "sizes")
		verdict := rapid.IntRange(0, 5).Draw(rt, "size of a verdict")
		limit := rapid.IntRange(1, 60).Draw(rt, "limit")
		known := rapid.IntRange(0, 2).Draw(rt, "verdicts before")
		size := func(w Work) (n int, _ error) {
			for _, g := range w.Generations {
				n += sizes[g.Index]
			}
			return n + verdict*len(w.Final), nil
		}
		work := Work{Run: "r", Batch: 1, Round: 1, Model: "m", Options: Options{NumPredict: 1}}
		for i := range sizes {
			work.Generations = append(work.Generations, Generation{Index: i, Item: i, Messages: User("x")})
		}
		for i := range known {
			work.Final = append(work.Final, GenerationFailure{Generation: Generation{Index: 100 + i}, Class: BadItem, Message: "m"})
		}
		fits, err := Fit(work, limit, size)
		if err != nil {
			rt.Fatal(err)
		}
		if n, _ := size(fits); len(fits.Generations) > 0 && n > limit {
			rt.Fatalf("%d of %d", n, limit)
		}
		seen, waiting := map[int]int{}, 0
		for _, g := range fits.Generations {
			seen[g.Index]++
		}
		for _, f := range fits.Final {
			seen[f.Index]++
			if f.Crowded {
				waiting++
			}
		}
		for i := range sizes {
			if seen[i] != 1 {
				rt.Fatalf("generation %d is there %d times: %+v", i, seen[i], fits)
			}
		}
		letter, found := fits.Unsent(work, time.Unix(0, 0))
		switch {
		case waiting > 0 && len(fits.Generations) == 0:
			rt.Fatalf("all wait: %+v", fits)
		case len(seen) != len(sizes)+known:
			rt.Fatalf("%d verdicts are lost", len(sizes)+known-len(seen))
		case len(fits.Generations) == 0 && (!found || len(letter.Failures) != len(sizes)+known || letter.Class != TooLarge):
			rt.Fatalf("nothing goes out, and the letter is %+v", letter)
		case found && letter.Validate() != nil:
			rt.Fatal(letter.Validate())
		case found && len(fits.Generations) > 0 && len(letter.Failures) != len(fits.Final)-known-waiting:
			rt.Fatalf("the letter is %+v of %+v", letter, fits)
		}
		if len(fits.Generations) > 0 {
			if err := fits.Validate(); err != nil {
				rt.Fatal(err)
			}
		}
	})
}
