// Package dataset reads and writes the rows of a dataset: JSON in several forms, tables and
// Parquet, plain or compressed, from files, folders or a stream.
//
// A row is one JSON object on one line. What came as JSON is passed on byte for byte: the order of
// its columns, its numbers and its spelling stay as they came. Memory stays constant, however long
// the dataset is.
package dataset

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"gleaner/internal/pipeline"
)

// A Reader reads the rows of a dataset one by one, file after file. It belongs to one goroutine,
// but for Progress.
type Reader struct {
	options SourceOptions
	files   []InputFile // that are still to be opened
	total   int64       // bytes of all files, 0 if that is not known
	read    atomic.Int64

	name    string // of the open file
	current *content
	stream  io.Reader // what comes next in place of a file, if it is not nil
	found   Notes
	err     error   // the end, or what made reading impossible
	owned   *Source // closed with the reader, if it is not nil
	line    int     // when the last file was closed
}

// Open opens a file with default options; "-" is the standard input.
func Open(path string) (*Reader, error) {
	if path == "-" {
		return NewReader(os.Stdin, stdinName)
	}
	s, err := NewSource(SourceOptions{Inputs: []string{path}})
	if err != nil {
		return nil, err
	}
	r, err := s.Open()
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	r.owned = s
	return r, nil
}

// NewReader reads rows from a stream, which the caller closes, with default options. Errors contain
// the name. It reads the first bytes, and so waits for them.
func NewReader(stream io.Reader, name string) (*Reader, error) {
	r := &Reader{stream: stream, name: name}
	return r, r.start()
}

// start opens the first file, so that what is wrong with it is said at once.
func (r *Reader) start() error {
	if err := r.advance(); err != nil && err != io.EOF {
		return err
	}
	return nil
}

// advance opens the next file. It returns io.EOF if there is none.
func (r *Reader) advance() (err error) {
	count := func(n int) { r.read.Add(int64(n)) }
	switch {
	case r.stream != nil:
		r.current, err = openStream(r.stream, r.name, r.options, count)
		r.stream = nil
	case len(r.files) > 0:
		next := &r.files[0] // the source's, which says from then on what is in it
		r.files = r.files[1:]
		r.name = next.Path
		switch {
		case next.rows > 0:
			r.current = &content{rowReader: &counted{rows: next.rows}}
		case next.spool != nil:
			r.current, err = next.spool.open(r.name, r.options, count)
		default:
			r.current, err = openPath(next.Path, r.options, count)
		}
		if err == nil {
			next.Format = r.current.format()
		}
	default:
		err = io.EOF
	}
	return err
}

// Next returns the next row, without the whitespace around it; it is valid until the next call.
// Blank lines are skipped. The error is io.EOF at the end, a *RowError for a row that cannot be
// used, after which reading goes on with the next one, or what made reading impossible.
func (r *Reader) Next() ([]byte, error) {
	for r.err == nil {
		if r.current == nil {
			r.err = r.advance()
			continue
		}
		row, err := r.current.next()
		if err == nil {
			return row, nil
		}
		var bad *pipeline.RowError
		switch {
		case err == io.EOF:
			r.err = r.finish()
		case errors.As(err, &bad) && !isLost(err):
			bad.Name, bad.Problem = r.shown(), withFile(bad.Problem, r.name)
			return nil, bad
		default:
			r.err = readError(r.name, r.current.position(), err)
		}
	}
	return nil, r.err
}

func isLost(err error) bool {
	var lost *lostError
	return errors.As(err, &lost)
}

// finish closes the file that is at its end, and keeps what is to be said of it.
func (r *Reader) finish() error {
	n := r.current.notes()
	r.found.Nulled += n.nulled
	r.found.HalfCharacters += n.halves
	if n.hint != "" {
		r.found.Hints = append(r.found.Hints, r.shown()+": "+withFile(n.hint, r.name))
	}
	r.line = r.current.position()
	err := r.current.close()
	r.current = nil
	return err
}

// Notes are what is to be said of rows that were read and are good.
type Notes struct {
	Nulled         int      // numbers that were NaN or Infinity and were read as null
	HalfCharacters int      // rows with an escape like \ud83d alone, which some loaders refuse
	Hints          []string // what may have been meant otherwise, one for each file
}

// Notes returns what is to be said of what was read so far; hints are of files that were read to
// their end.
func (r *Reader) Notes() Notes {
	found := r.found
	if r.current != nil {
		n := r.current.notes()
		found.Nulled += n.nulled
		found.HalfCharacters += n.halves
	}
	return found
}

// Line returns the number, from 1, of the line on which the row begins that Next returned last.
func (r *Reader) Line() int {
	if r.current == nil {
		return r.line
	}
	return r.current.position()
}

// Position returns the file, as the user gave it, and the line of the row that Next returned last.
// In a Parquet file the line is the number of the row.
func (r *Reader) Position() (file string, line int) { return r.shown(), r.Line() }

// shown returns what the open file is called where rows of it are named.
func (r *Reader) shown() string {
	if name, ok := r.options.Shown[r.name]; ok {
		return name
	}
	return r.name
}

// Progress returns how many bytes of the input were read, packed as they are, and how many there
// are, 0 if that is not known. It may be called from another goroutine.
func (r *Reader) Progress() (done, total int64) { return r.read.Load(), r.total }

// Close releases what the reader holds, and closes the file that is open.
func (r *Reader) Close() error {
	if r.err == nil {
		r.err = fmt.Errorf("dataset %s is closed", r.name)
	}
	var err error
	if r.current != nil {
		err = r.current.close()
		r.line, r.current = r.current.position(), nil
	}
	if r.owned != nil {
		err = errors.Join(err, r.owned.Close())
	}
	return err
}
