package text

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestAWidthIsThatOfATerminal(t *testing.T) {
	for s, want := range map[string]int{
		"": 0, "abc": 3, "é": 1, "e\u0301": 1, "漢字": 4, "ｗ": 2, "한": 2, "🙂": 2, "✅": 2, "█░": 2, "│ …": 3, "a\u200bb": 2, "Ж": 1,
	} {
		if got := Width(s); got != want {
			t.Errorf("%q takes %d columns, want %d", s, got, want)
		}
	}
}

func TestClipCutsByColumns(t *testing.T) {
	for _, c := range []struct {
		text    string
		columns int
		want    string
	}{{"éééé", 3, "éé…"}, {"abc", 3, "abc"}, {"漢字漢字", 8, "漢字漢字"}, {"漢字漢字", 7, "漢字漢…"}, {"漢字漢字", 6, "漢字…"}, {"漢字", 2, "…"}, {"漢字", 1, "…"}, {"abc", 0, "…"}} {
		if got := Clip(c.text, c.columns); got != c.want {
			t.Errorf("%s in %d columns is %q, want %q", c.text, c.columns, got, c.want)
		}
	}
}

func TestFoldBreaksBetweenWords(t *testing.T) {
	for _, c := range []struct {
		text    string
		columns int
		want    []string
	}{
		{"one two three", 7, []string{"one two", "three"}}, {"one two three", 3, []string{"one", "two", "thr", "ee"}},
		{"漢字 漢字", 4, []string{"漢字", "漢字"}}, {"漢字漢字", 5, []string{"漢字", "漢字"}}, {"a\n\nb", 9, []string{"a", "", "b"}}, {"", 9, []string{""}},
		{"exactly10c one", 10, []string{"exactly10c", "one"}}, {"averylongwordindeed", 10, []string{"averylongw", "ordindeed"}}, {"日", 1, []string{"日"}}, {"日本", 1, []string{"日", "本"}},
	} {
		if diff := cmp.Diff(c.want, Fold(c.text, c.columns)); diff != "" {
			t.Errorf("%q in %d columns (-want +got):\n%s", c.text, c.columns, diff)
		}
	}
}

func TestNothingIsWiderThanItsColumns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, columns := rapid.StringOf(rapid.RuneFrom([]rune("ab é漢🙂\u0301"))).Draw(t, "text"), rapid.IntRange(2, 20).Draw(t, "columns")
		if got := Clip(s, columns); Width(got) > columns {
			t.Fatalf("%q takes %d columns", got, Width(got))
		}
		for _, line := range Fold(s, columns) {
			if Width(line) > columns {
				t.Fatalf("%q takes %d columns", line, Width(line))
			}
		}
	})
}

func TestTalkWrapsBetweenWordsAndKeepsCommandsWhole(t *testing.T) {
	for s, want := range map[string]string{
		"one two three":                     "one two\nthree",
		"one two\nthree four five":          "one two\nthree four\nfive",
		"say `gleaner run --input x` now\n": "say\n`gleaner run --input x`\nnow\n",
		"  of a list, indented":             "  of a\nlist,\nindented",
		"averyverylongword":                 "averyverylongword",
		"日本 日本 日":                           "日本 日本\n日",
		"":                                  "",
	} {
		if got := Wrap(s, 10); got != want {
			t.Errorf("%q becomes %q, want %q", s, got, want)
		}
	}
	if got := Wrap("one two three", 0); got != "one two three" {
		t.Errorf("without a width: %q", got)
	}
}
