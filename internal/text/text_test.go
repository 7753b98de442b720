package text

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestAShortTextStaysAndALongOneIsCutBetweenCharacters(t *testing.T) {
	for _, c := range []struct {
		text string
		most int
		want string
	}{{"abc", 3, "abc"}, {"abcdef", 5, "ab…"}, {"eleven bytes", 11, "eleven b…"}, {"ééé", 5, "é…"}, {"a\xffb", 9, "a\uFFFDb"}, {"", 0, ""}, {"abc", 2, ""}} {
		if got := Shorten(c.text, c.most); got != c.want {
			t.Errorf("%q in %d bytes is %q, want %q", c.text, c.most, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		text, most := rapid.String().Draw(t, "text"), rapid.IntRange(0, 50).Draw(t, "most")
		if got := Shorten(text, most); len(got) > most || !utf8.ValidString(got) {
			t.Fatalf("%q has %d bytes", got, len(got))
		}
	})
}

func TestTheEndOfATextIsCutBetweenCharacters(t *testing.T) {
	for _, c := range []struct {
		text string
		most int
		want string
	}{{"abc", 3, "abc"}, {"abcdef", 5, "…ef"}, {"ééé", 6, "ééé"}, {"ééé", 5, "…é"}, {"ééé", 4, "…"}, {"a\xffb", 9, "a\uFFFDb"}, {"", 0, ""}, {"abc", 2, ""}} {
		if got := End(c.text, c.most); got != c.want {
			t.Errorf("the end of %q in %d bytes is %q, want %q", c.text, c.most, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		text, most := rapid.String().Draw(t, "text"), rapid.IntRange(0, 50).Draw(t, "most")
		if got := End(text, most); len(got) > most || !utf8.ValidString(got) || !strings.HasSuffix(strings.ToValidUTF8(text, "\uFFFD"), strings.TrimPrefix(got, "…")) {
			t.Fatalf("the end of %q in %d bytes is %q", text, most, got)
		}
	})
}

// What a server says may be long and need not be text.
func TestWhatIsNoTextIsCutToValidText(t *testing.T) {
	for _, text := range []string{strings.Repeat("ä", 5000), "a" + strings.Repeat("ä", 5000), strings.Repeat("\xff", 5000), strings.Repeat("\xe2\x82", 9)} {
		for _, most := range []int{3, 4, 5, 100, 4096} {
			if got := Shorten(text, most); len(got) > most || !utf8.ValidString(got) {
				t.Errorf("%d bytes of %.10q… are %d bytes: %.20q", most, text, len(got), got)
			}
		}
	}
}

func TestOneLineHasNoLineEnds(t *testing.T) {
	if got := OneLine(" a \n\t b "); got != "a b" {
		t.Errorf("got %q", got)
	}
}
