package dataset

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/text/transform"

	"gleaner/internal/pipeline"
)

// A rowReader reads the rows of one format.
type rowReader interface {
	// next returns a row that is valid until the next call, io.EOF, a *RowError without the name of
	// the file, or what ends reading.
	next() ([]byte, error)
	// position returns the line of the row that next returned last, or how many lines were read.
	position() int
	// notes returns what is to be said of the rows that were read.
	notes() notes
}

// notes are what is to be said of rows that are good.
type notes struct {
	nulled int // numbers that were NaN or Infinity, read as null
	halves int // rows that hold half a character
	hint   string
}

func (j *jsonRows) position() int  { return j.line }
func (t *tableRows) position() int { return t.line }

func (j *jsonRows) notes() notes {
	n := notes{nulled: j.nulled, halves: j.halves}
	if j.rows == 1 && j.hint != "" {
		n.hint = "the file is one object and was read as one row: " + j.hint
	}
	return n
}

func (t *tableRows) notes() notes { return notes{} }

// A content is a file that is open, at its rows.
type content struct {
	rowReader
	count   func(int) // of bytes that were read
	packing string    // gzip, zstd; empty: none
	closers []func() error
}

// close releases what the content holds, the newest first.
func (c *content) close() (err error) {
	for len(c.closers) > 0 {
		last := len(c.closers) - 1
		err = errors.Join(err, c.closers[last]())
		c.closers = c.closers[:last]
	}
	return err
}

// openPath opens a file and finds out what is in it.
func openPath(path string, o SourceOptions, count func(int)) (*content, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, openError(path, err)
	}
	c := &content{closers: []func() error{file.Close}}
	if err = c.open(file, path, o, count); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// openStream finds out what is in a stream, which the caller closes.
func openStream(stream io.Reader, name string, o SourceOptions, count func(int)) (*content, error) {
	c := &content{}
	if err := c.open(stream, name, o, count); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// open finds out what is in a stream by its first bytes.
func (c *content) open(stream io.Reader, name string, o SourceOptions, count func(int)) error {
	c.count = count
	packed := bufio.NewReaderSize(&counter{stream, count}, 64<<10)
	head, err := packed.Peek(sniffed)
	switch {
	case err != nil && err != io.EOF && len(head) == 0:
		return fmt.Errorf("dataset %s cannot be read: %w", name, pathless(err))
	case len(head) == 0:
		return fmt.Errorf("dataset %s is empty (0 bytes): it was not written or downloaded to its end; do that again", name)
	case isParquet(head):
		return c.parquet(stream, packed, name, o)
	}
	var text io.Reader = packed
	pack, err := unpack(packed)
	if err != nil {
		return readError(name, 0, err)
	}
	if pack != nil {
		c.packing = pack.format
		c.closers = append(c.closers, func() error { pack.close(); return nil })
		unpacked := bufio.NewReaderSize(pack, 64<<10)
		if head, err = unpacked.Peek(sniffed); err != nil && err != io.EOF {
			if len(head) == 0 {
				return readError(name, 0, err)
			}
		}
		text = unpacked
	}
	what := foreign(head, name)
	if isParquet(head) {
		what = "is a Parquet file that is packed once more: unpack it"
		if pack.format == "gzip" {
			what += " with: " + unpacked("gzip")
		}
	}
	if what != "" {
		return fmt.Errorf("dataset %s %s", name, withFile(what, name))
	}
	return c.text(text, head, name, o)
}

// text finds out how the rows of a text are written.
func (c *content) text(in io.Reader, head []byte, name string, o SourceOptions) error {
	named, err := encodingOf(o.Encoding)
	if err != nil {
		return err
	}
	form, err := formOf(head, named)
	if err != nil {
		return fmt.Errorf("dataset %s %w", name, err)
	}
	if _, err := io.CopyN(io.Discard, in, int64(form.skip)); err != nil {
		return readError(name, 0, err)
	}
	if form.encoding != nil {
		in = transform.NewReader(in, form.encoding.NewDecoder())
	}
	w := newWindow(in)
	for w.end < sniffed && w.more() {
	}
	head = w.data()[:min(len(w.data()), sniffed)]
	if what := foreignText(head); what != "" {
		return fmt.Errorf("dataset %s %s", name, withFile(what, name))
	}
	return c.rows(w, head, name, o, form.legacy)
}

// rows chooses the format of a text.
func (c *content) rows(w *window, head []byte, name string, o SourceOptions, legacy bool) error {
	whole := len(head) == len(w.data()) && w.err != nil
	first := bytes.TrimLeft(head, whitespace)
	j := &jsonRows{w: w, at: 1, null: o.NaN == NaNNull, arrays: len(first) > 0 && first[0] == '['}
	c.rowReader = j
	if o.RowsAt != "" {
		if err := j.seek(o.RowsAt); err != nil {
			return fmt.Errorf("dataset %s: %w", name, err)
		}
		return nil
	}
	if len(first) == 0 || first[0] == '{' || first[0] == '[' || hasObject(first) {
		return nil
	}
	form, ok := sniffTable(head, whole, name)
	switch {
	case !ok && isScalar(first):
		return nil // each row says what it is
	case !ok:
		kind, problem := explain(first, badToken, 0, 1)
		if kind != pipeline.NotJSON {
			return fmt.Errorf("dataset %s %s", name, problem)
		}
		return fmt.Errorf("dataset %s begins with %s: that is neither JSON nor a table with a header (a table of one column is read if its name ends in .csv)", name, excerpt(firstLine(first)))
	}
	t := newTable(w, form)
	t.legacy = legacy
	for range form.skip {
		w.skipLine()
		w.at++
		t.at++
	}
	if err := t.header(); err != nil {
		return fmt.Errorf("dataset %s %w", name, err)
	}
	c.rowReader = t
	return nil
}

// hasObject reports whether a line at the beginning of a text is a JSON object, and so the text
// JSON Lines, though it begins with something else.
func hasObject(head []byte) bool {
	var s scanner
	for line := range bytes.Lines(head) {
		line = bytes.Trim(line, whitespace)
		if len(line) == 0 || line[0] != '{' {
			continue
		}
		if end, r := s.value(line, true); r == complete && end == len(line) {
			return true
		}
	}
	return false
}

// isScalar reports whether the first line of a text is a JSON value.
func isScalar(head []byte) bool {
	var s scanner
	line := bytes.Trim(firstLine(head), whitespace)
	end, r := s.value(line, true)
	return len(line) > 0 && r == complete && end == len(line)
}

// A counter counts the bytes that are read from a stream.
type counter struct {
	in    io.Reader
	count func(int)
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	c.count(n)
	return n, err
}

func openError(path string, err error) error {
	hint := ""
	switch {
	case errors.Is(err, fs.ErrNotExist):
		hint = ": check the path"
	case errors.Is(err, fs.ErrPermission):
		hint = ": allow this user to read it"
	}
	return fmt.Errorf("dataset %s cannot be opened: %w%s", path, pathless(err), hint)
}

// pathless returns an error without the path that was named already.
func pathless(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// readError returns an error that says why no further row of a file can be read.
func readError(name string, line int, err error) error {
	var damage *damageError
	var lost *lostError
	var columns *columnsError
	switch {
	case errors.As(err, &columns):
		return columns.err
	case errors.As(err, &damage):
		return fmt.Errorf("dataset %s: the %s data are damaged or cut off after line %d: %w: fetch or compress the file again",
			name, damage.format, line, damage.err)
	case errors.As(err, &lost):
		return fmt.Errorf("%s, %s", name, withFile(lost.Error(), name))
	}
	return fmt.Errorf("dataset %s cannot be read after line %d: %w", name, line, pathless(err))
}
