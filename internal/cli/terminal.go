package cli

import (
	"encoding/json"
	"io"
	"os"

	"golang.org/x/term"

	"gleaner/internal/text"
)

// A Terminal is where a program reads and writes. What people asked for goes to Out, talk to Err.
//
// Of a program that Run runs, both escape what is written to them, so that no command has to think
// of it: whatever a dataset, a model or another person's machine says, it cannot command the
// terminal. JSON goes to PrintJSON, which escapes it as JSON does. A dataset is no talk: export
// writes it to the standard output itself, byte for byte.
type Terminal struct {
	In       io.Reader
	Out, Err io.Writer
}

// escaping returns the terminal with escaping writers.
func (t *Terminal) escaping() *Terminal {
	return &Terminal{In: t.In, Out: text.Escaper{To: t.Out, Make: text.Printable}, Err: text.Escaper{To: t.Err, Make: text.Printable}}
}

// raw returns the writer below an escaping one.
func raw(w io.Writer) io.Writer {
	if escaping, ok := w.(text.Escaper); ok {
		return escaping.To
	}
	return w
}

// Control returns Err without escaping, for what moves the cursor or has colours. Who uses it
// escapes the text of others itself.
func (t *Terminal) Control() io.Writer { return raw(t.Err) }

// PrintJSON writes a value as a line of JSON to Out or Err of a terminal.
func PrintJSON(to io.Writer, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return PrintJSONText(to, data)
}

// PrintJSONText does that with a value that is JSON already, whose spelling stays.
func PrintJSONText(to io.Writer, data []byte) error {
	_, err := io.WriteString(raw(to), text.PrintableJSON(string(data))+"\n")
	return err
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
	if w, ok := v.(io.Writer); ok {
		v = raw(w)
	}
	f, ok := v.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func width(w io.Writer, otherwise int) int {
	if f, ok := raw(w).(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return otherwise
}
