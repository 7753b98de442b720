package export

import "io"

// An output takes the lines of an export, and writes what is left at Close.
type output interface {
	Write(line []byte) error
	Close() error
	remove() // what is of no use any more
}

// A lineWriter writes JSON Lines.
type lineWriter struct{ to io.Writer }

// Write writes a line.
func (w *lineWriter) Write(line []byte) error {
	_, err := w.to.Write(append(line, '\n'))
	return err
}

// Close does nothing: there is nothing left.
func (w *lineWriter) Close() error { return nil }

func (w *lineWriter) remove() {}

// An arrayWriter writes a JSON array with a row on each line.
type arrayWriter struct {
	to    io.Writer
	begun bool
}

// Write writes an element.
func (w *arrayWriter) Write(line []byte) error {
	before := ",\n"
	if !w.begun {
		before, w.begun = "[\n", true
	}
	if _, err := io.WriteString(w.to, before); err != nil {
		return err
	}
	_, err := w.to.Write(line)
	return err
}

// Close ends the array.
func (w *arrayWriter) Close() error {
	end := "\n]\n"
	if !w.begun {
		end = "[]\n"
	}
	_, err := io.WriteString(w.to, end)
	return err
}

func (w *arrayWriter) remove() {}
