package dataset

import (
	"context"
	"fmt"
	"io"

	"gleaner/internal/pipeline"
)

// NaNNull as SourceOptions.NaN reads NaN and Infinity in JSON as null.
const NaNNull = "null"

// SourceOptions say which dataset is read, and how.
type SourceOptions struct {
	Rows     int       // in place of inputs: how many rows {"i":0}, {"i":1} … there are
	Inputs   []string  // files, patterns, folders, or "-" for the standard input
	Stdin    io.Reader // what "-" reads; nil is the standard input of this process
	Encoding string    // of texts without a mark of their own, as in cp1252; "" is UTF-8
	RowsAt   string    // the names, with dots between them, under which the array of rows stands
	NaN      string    // NaNNull, or "" for rows with NaN and Infinity to be bad ones

	// Context ends the wait for a pipe to which nothing is written; nil: it never ends.
	Context context.Context

	Shown map[string]string // by path: what a file is called where rows of it are named; may be nil
}

// check returns a *pipeline.SpecError for what is wrong with the options.
func (o SourceOptions) check() error {
	switch {
	case o.Rows < 0:
		return wrong("rows", "%d: there cannot be fewer than none", o.Rows)
	case o.Rows > 0 && len(o.Inputs) > 0:
		return wrong("rows", "it makes rows where there is no dataset: leave it or the dataset out")
	case o.Rows == 0 && len(o.Inputs) == 0:
		return wrong("input", "no dataset: name a file, a folder, a pattern in quotes, or - for the standard input")
	case o.NaN != "" && o.NaN != NaNNull:
		return wrong("nan", "there is no %q: the only value is %s, which reads NaN and Infinity as null", o.NaN, NaNNull)
	}
	_, err := encodingOf(o.Encoding)
	return err
}

// wrong returns the error for the value of a flag that makes no sense.
func wrong(flag, format string, args ...any) error {
	return &pipeline.SpecError{Field: flag, Problem: fmt.Sprintf(format, args...)}
}
