package cli

import (
	"cmp"
	"encoding/json"
	"io"
	"os"
	"runtime"

	"golang.org/x/term"

	"gleaner/internal/text"
)

// A Terminal is where a program reads and writes. What people asked for goes to Out, talk to Err.
//
// Of a program that Run runs, both escape what is written to them, so that no command has to think
// of it: whatever a dataset, a model or another person's machine says, it cannot command the
// terminal. JSON goes to PrintJSON, which escapes it as JSON does. A dataset is no talk: export
// writes it to the standard output itself, byte for byte.
//
// What is written to either of them appears above the lines that Draw has drawn.
type Terminal struct {
	In       io.Reader
	Out, Err io.Writer

	screen *screen // nil: nothing is drawn
}

// escaping returns the terminal with escaping writers.
func (t *Terminal) escaping() *Terminal {
	if t.screen != nil {
		return t
	}
	s := &screen{talk: t.Err, size: func() (columns, rows int) { return size(t.Err) }}
	return &Terminal{
		In: t.In, screen: s,
		Out: text.Escaper{To: above{s, t.Out}, Make: text.Printable},
		Err: text.Escaper{To: talking{s}, Make: text.Printable},
	}
}

// raw returns the writer below an escaping one.
func raw(w io.Writer) io.Writer {
	escaping, ok := w.(text.Escaper)
	if !ok {
		return w
	}
	if talk, ok := escaping.To.(talking); ok {
		return above{talk.screen, talk.talk}
	}
	return escaping.To
}

// Control returns Err without escaping, for what has colours. Who uses it escapes the text of
// others itself.
func (t *Terminal) Control() io.Writer {
	if t.screen != nil {
		return talking{t.screen}
	}
	return raw(t.Err)
}

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

// Draw replaces the lines that the last call has drawn below the talk by these, of which each is
// one line of text without control characters. Without lines it takes them away. Lines that have
// no room on the terminal are clipped or left out.
func (t *Terminal) Draw(lines ...string) {
	if t.screen == nil {
		t.screen = &screen{talk: raw(t.Err), size: func() (columns, rows int) { return size(t.Err) }}
	}
	t.screen.draw(lines)
}

// TalkJSON has each further line of talk be an object {"message": …} on a line, for programs.
func (t *Terminal) TalkJSON() {
	if t.screen != nil {
		t.screen.wrap()
	}
}

// Interactive reports whether a person can be asked.
func (t *Terminal) Interactive() bool { return isTerminal(t.In) && isTerminal(t.Err) }

// Redraws reports whether lines of talk can be drawn over each other: on a terminal whose cursor
// can be moved. Notebooks and CI keep line by line what is written there.
func (t *Terminal) Redraws() bool { return isTerminal(t.Err) && movesCursor(os.Getenv) }

// movesCursor reports whether the environment is one in which a terminal's cursor can be moved.
func movesCursor(getenv func(string) string) bool {
	for _, notebook := range []string{"CI", "JPY_PARENT_PID", "KAGGLE_KERNEL_RUN_TYPE", "COLAB_RELEASE_TAG"} {
		if getenv(notebook) != "" {
			return false
		}
	}
	kind := getenv("TERM")
	return kind != "dumb" && (kind != "" || runtime.GOOS == "windows")
}

// Colours reports whether what is written to Out or Err of a terminal may have colours: on a
// terminal that has them, unless NO_COLOR is set.
func Colours(to io.Writer) bool {
	if escaping, ok := to.(text.Escaper); ok {
		to = escaping.To
	}
	if talk, ok := to.(talking); ok && talk.wraps() {
		return false
	}
	return isTerminal(to) && takesColours(os.Getenv)
}

func takesColours(getenv func(string) string) bool {
	kind := getenv("TERM")
	return getenv("NO_COLOR") == "" && kind != "dumb" && kind != "" // also on Windows, whose consoles may show the codes
}

// Columns returns how wide a line of data should be: as wide as the terminal, or 120 where there is
// none.
func (t *Terminal) Columns() int { return cmp.Or(wrapAt(t.Out), 120) }

// TalkColumns returns how wide a line of talk may be that wraps at words: as wide as the terminal,
// or 0, for any width, where there is none.
func (t *Terminal) TalkColumns() int { return wrapAt(t.Err) }

// TextColumns does that for a line on Out: where people search lines with other programs, those
// are whole.
func (t *Terminal) TextColumns() int { return wrapAt(t.Out) }

func wrapAt(to io.Writer) int {
	if !isTerminal(to) {
		return 0
	}
	columns, _ := size(to)
	return columns
}

// TalkSize returns how many columns and rows talk has: those of the terminal, or 80 and 24 where
// there is none.
func (t *Terminal) TalkSize() (columns, rows int) { return size(t.Err) }

// file returns the file to which a writer writes in the end; nil: none.
func file(v any) *os.File {
	switch w := v.(type) {
	case *os.File:
		return w
	case text.Escaper:
		return file(w.To)
	case above:
		return file(w.to)
	case talking:
		return file(w.talk)
	}
	return nil
}

func isTerminal(v any) bool {
	f := file(v)
	return f != nil && term.IsTerminal(int(f.Fd()))
}

func size(w io.Writer) (columns, rows int) {
	if f := file(w); f != nil {
		if columns, rows, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 && rows > 0 {
			return columns, rows
		}
	}
	return 80, 24
}
