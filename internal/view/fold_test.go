package view

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTextIsFoldedBetweenWordsAndByTheWidthOfItsCharacters(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
	}{
		{"", []string{""}},
		{"short", []string{"short"}},
		{"one two three", []string{"one two", "three"}},
		{"exactly10c one", []string{"exactly10c", "one"}},
		{"averylongwordindeed", []string{"averylongw", "ordindeed"}},
		{"a\n\nb", []string{"a", "", "b"}},
		{"日本語日本語", []string{"日本語日本", "語"}},
		{"日", []string{"日"}},
	} {
		if diff := cmp.Diff(c.want, folded(c.text, 10)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", c.text, diff)
		}
	}
	if got := folded("日本", 1); len(got) != 2 {
		t.Errorf("where nothing fits: %q", got)
	}
}
