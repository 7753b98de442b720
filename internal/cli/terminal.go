package cli

import (
	"io"
	"os"

	"golang.org/x/term"
)

// A Terminal is where a program reads and writes. Data goes to Out, talk to Err.
type Terminal struct {
	In       io.Reader
	Out, Err io.Writer
}

// Interactive reports whether a person can be asked.
func (t *Terminal) Interactive() bool { return isTerminal(t.In) && isTerminal(t.Err) }

// Redraws reports whether lines of talk can be drawn over each other.
func (t *Terminal) Redraws() bool { return isTerminal(t.Err) }

// Columns returns how wide a line of data may be: as wide as the terminal, or 120 where there is
// none.
func (t *Terminal) Columns() int { return width(t.Out, 120) }

// TalkColumns returns how wide a line of talk may be: as wide as the terminal, or 80 where there is
// none.
func (t *Terminal) TalkColumns() int { return width(t.Err, 80) }

func isTerminal(v any) bool {
	f, ok := v.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func width(v any, otherwise int) int {
	if f, ok := v.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return otherwise
}
