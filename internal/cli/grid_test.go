package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"gleaner/internal/text"
)

// letters returns a table of dead letters as a grid that has this many columns.
func letters(columns int) string {
	g := Grid{Columns: columns, Right: []int{1}, Clip: []int{3}, Below: []int{3, 1}}
	g.Head("BATCH", "DEAD", "CLASS", "GPU", "MESSAGE")
	g.Line("run/0000001", "1", "truncated", "simulated\tGPU 0 of a box", "the answer was cut off after 40 tokens")
	g.Line("run/0000012", "12", "", "漢字", "short\n")
	g.Across("and others, of which nothing more is said here")
	return g.Take()
}

func TestATableFitsItsColumns(t *testing.T) {
	for columns, want := range map[int]string{
		0: `
BATCH        DEAD  CLASS      GPU                       MESSAGE
run/0000001     1  truncated  simulated GPU 0 of a box  the answer was cut off after 40 tokens
run/0000012    12             漢字                      short
and others, of which nothing more is said here
`,
		80: `
BATCH        DEAD  CLASS      GPU                       MESSAGE
run/0000001     1  truncated  simulated GPU 0 of a box  the answer was cut off
                                                        after 40 tokens
run/0000012    12             漢字                      short
and others, of which nothing more is said here
`,
		70: `
BATCH        DEAD  CLASS      GPU             MESSAGE
run/0000001     1  truncated  simulated GPU…  the answer was cut off
                                              after 40 tokens
run/0000012    12             漢字            short
and others, of which nothing more is said here
`,
		48: `
BATCH        CLASS      MESSAGE
run/0000001  truncated  the answer was cut off
                        after 40 tokens
    dead 1, gpu simulated GPU 0 of a box
run/0000012             short
    dead 12, gpu 漢字
and others, of which nothing more is said here
`,
		40: `
BATCH        CLASS      MESSAGE
run/0000001  truncated
    dead 1, gpu simulated GPU 0 of a
    box, the answer was cut off after 40
    tokens
run/0000012             short
    dead 12, gpu 漢字
and others, of which nothing more is
    said here
`,
	} {
		if diff := cmp.Diff(want, "\n"+letters(columns)); diff != "" {
			t.Errorf("in %d columns (-want +got):\n%s", columns, diff)
		}
	}
}

func TestACommandStaysWhole(t *testing.T) {
	g := Grid{Columns: 31}
	g.Line("model", "a long name that wraps at its words")
	g.Whole("to do", "gleaner dead redrive --run r --batch 7")
	want := "model  a long name that wraps\n       at its words\nto do  gleaner dead redrive --run r --batch 7\n"
	if diff := cmp.Diff(want, g.Take()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNoLineIsTooWideWhereColumnsMayGive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cell := rapid.StringOf(rapid.RuneFrom([]rune("ab  漢🙂\n")))
		columns := rapid.IntRange(40, 120).Draw(t, "columns")
		g := Grid{Columns: columns, Right: []int{0}, Clip: []int{1, 0}, Below: []int{2, 1}}
		g.Head("ONE", "TWO", "THREE", "FOUR")
		for range rapid.IntRange(0, 4).Draw(t, "rows") {
			g.Line(cell.Draw(t, "0"), cell.Draw(t, "1"), cell.Draw(t, "2"), cell.Draw(t, "3"))
		}
		for line := range strings.Lines(g.Take()) {
			if got := text.Width(strings.TrimSuffix(line, "\n")); got > columns {
				t.Fatalf("%d columns of %d: %q", got, columns, line)
			}
		}
	})
}
