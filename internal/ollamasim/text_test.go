package ollamasim

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestAnAnswerHasExactlyTheTokensThatItShould(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prompt := rapid.String().Draw(t, "prompt")
		seed, tokens := rapid.IntRange(0, 1<<31-1).Draw(t, "seed"), rapid.IntRange(1, 700).Draw(t, "tokens")
		endless := rapid.Bool().Draw(t, "endless")
		answer := write(prompt, seed, tokens, endless)
		text := strings.Join(answer, "")
		if len(answer) != tokens || !utf8.ValidString(text) || strings.TrimSpace(text) == "" {
			t.Fatalf("%d tokens, want %d: %q", len(answer), tokens, text)
		}
		for _, token := range answer {
			if token == "" {
				t.Fatalf("there is an empty token: %q", answer)
			}
		}
		if d := cmp.Diff(answer, write(prompt, seed, tokens, endless)); d != "" {
			t.Fatalf("the second time it is another (-first +second):\n%s", d)
		}
	})
}

func TestAnEndlessAnswerOnlyGetsLonger(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed, tokens := rapid.Int().Draw(t, "seed"), rapid.IntRange(1, 300).Draw(t, "tokens")
		short, long := write("one two 3", seed, tokens, true), write("one two 3", seed, 2*tokens, true)
		if d := cmp.Diff(short, long[:tokens]); d != "" {
			t.Fatalf("(-short +long):\n%s", d)
		}
	})
}

func TestAnAnswerReadsLikeOne(t *testing.T) {
	const prompt = "A farmer has 17 sheep and buys 5 more lambs. How many animals are there now?"
	text := strings.Join(write(prompt, 4, 60, false), "")
	if !strings.HasPrefix(text, "We take it one step at a time. ") || !strings.Contains(text, "The answer is ") || !strings.HasSuffix(text, ".") || strings.Contains(text, " .") {
		t.Errorf("the answer is %q", text)
	}
}

// FuzzReadOptions: whatever JSON holds, options are taken or refused with a reason.
func FuzzReadOptions(f *testing.F) {
	f.Add("seed", 7.5, "x", false)
	f.Add("stop", 0.0, "", true)
	f.Fuzz(func(t *testing.T, name string, number float64, text string, list bool) {
		for _, v := range []any{nil, number, text, list, []any{text, number}, map[string]any{text: number}} {
			if _, err := readOptions(map[string]any{name: v}); err != nil && !strings.HasPrefix(err.Error(), fmt.Sprintf("option %q must be of ", name)) {
				t.Errorf("%s=%v: %v", name, v, err)
			}
		}
	})
}

func TestTheLengthsAreSpreadAroundTheirMedian(t *testing.T) {
	lengths := LogNormal(100, 0.6)
	below, sum := 0, 0
	const n = 4000
	for i := range n {
		l := lengths("why?", i)
		if l != lengths("why?", i) {
			t.Fatalf("the length for seed %d is not always the same", i)
		}
		if sum += l; l < 100 {
			below++
		}
	}
	// The mean of a log-normal variable is its median times exp(sigma²/2), here 119.7.
	if mean := float64(sum) / n; below < n*45/100 || below > n*55/100 || mean < 112 || mean > 128 {
		t.Errorf("%d of %d are below the median, the mean is %.1f", below, n, mean)
	}
}
