// Package dataset reads and writes the rows of a dataset: JSON Lines, plain or compressed, from a
// file or a stream.
//
// A row is one JSON object on one line. It is passed on byte for byte: the order of its columns,
// its numbers and its spelling stay as they came. Memory stays constant, however long the dataset
// is.
package dataset

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"gleaner/internal/pipeline"
)

// bufferSize is larger than nearly every row, so that rows are checked in the buffer, without a
// copy.
const bufferSize = 256 << 10

// whitespace holds the characters that may surround a row.
const whitespace = " \t\r\n"

// A RowError says what is wrong with one row. Reading may go on with the next one.
type RowError struct {
	Name    string // of the dataset
	Line    int    // from 1
	Problem string // in plain words, with what to do about it
}

// Error names the dataset, the line and the problem.
func (e *RowError) Error() string { return fmt.Sprintf("%s, line %d: %s", e.Name, e.Line, e.Problem) }

// A Reader reads the rows of a dataset one by one. It belongs to one goroutine.
type Reader struct {
	name     string
	in       *bufio.Reader
	unpacker *unpacker // nil if the dataset is not compressed
	file     io.Closer // nil if the caller closes it

	line  int
	long  []byte   // a row that is longer than the buffer of in
	names [][]byte // of the columns of the current row; kept for its memory
	rest  bool     // the remainder of a too long line is still to be skipped
	err   error    // the end, or what made reading impossible
}

// Open opens a dataset; "-" is the standard input. The first bytes of the file, not its name,
// decide whether it is decompressed. Errors name the path and what to do.
func Open(path string) (*Reader, error) {
	if path == "-" {
		return NewReader(os.Stdin, "standard input")
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, openError(path, err)
	}
	if info.IsDir() {
		return nil, fmt.Errorf("dataset %s is a folder: name a file in it", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, openError(path, err)
	}
	r, err := NewReader(file, path)
	if err != nil {
		file.Close()
		return nil, err
	}
	r.file = file
	return r, nil
}

func openError(path string, err error) error {
	hint := ""
	switch {
	case errors.Is(err, fs.ErrNotExist):
		hint = ": check the path"
	case errors.Is(err, fs.ErrPermission):
		hint = ": allow this user to read it"
	}
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err // the path is named already
	}
	return fmt.Errorf("dataset %s cannot be opened: %w%s", path, err, hint)
}

// NewReader reads a dataset from a stream, which the caller closes. Errors contain the name. It
// reads the first bytes, and so waits for them.
func NewReader(stream io.Reader, name string) (*Reader, error) {
	packed := bufio.NewReaderSize(stream, 64<<10)
	r := &Reader{name: name}
	pack, err := unpack(packed)
	switch {
	case err != nil:
		return nil, r.readError(err)
	case pack == nil:
		r.in = bufio.NewReaderSize(packed, bufferSize)
	default:
		r.unpacker = pack
		r.in = bufio.NewReaderSize(pack, bufferSize)
	}
	head, err := r.in.Peek(sniffLen)
	if err != nil && err != io.EOF {
		r.Close()
		return nil, r.readError(err)
	}
	if problem := foreign(head); problem != "" {
		r.Close()
		return nil, fmt.Errorf("dataset %s %s", name, problem)
	}
	if bytes.HasPrefix(head, []byte(byteOrderMark)) {
		r.in.Discard(len(byteOrderMark))
	}
	return r, nil
}

// Line returns the number, from 1, of the line that Next returned last.
func (r *Reader) Line() int { return r.line }

// Close releases what the reader holds, and closes the file if Open opened one.
func (r *Reader) Close() error {
	if r.unpacker != nil {
		r.unpacker.close()
	}
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}

// Next returns the next row, without the whitespace around it; it is valid until the next call.
// Blank lines are skipped. The error is io.EOF at the end, a *RowError for a row that cannot be
// used, or what made reading impossible.
func (r *Reader) Next() ([]byte, error) {
	for {
		line, err := r.readLine()
		if err != nil {
			return nil, err
		}
		row := bytes.Trim(line, whitespace)
		if len(row) == 0 {
			continue
		}
		if problem := r.check(row, line); problem != "" {
			return nil, r.bad(problem)
		}
		return row, nil
	}
}

// check returns what is wrong with a row, or nothing.
func (r *Reader) check(row, line []byte) string {
	names, ok := scan(row, r.names[:0])
	r.names = names
	if !ok {
		return explain(row, r.line == 1, line[len(line)-1] == '\n')
	}
	return duplicate(names)
}

func (r *Reader) bad(problem string) error {
	return &RowError{Name: r.name, Line: r.line, Problem: problem}
}

// readLine returns the next line, including the line feed if it has one. It never keeps more in
// memory than the limit of a row.
func (r *Reader) readLine() ([]byte, error) {
	if err := r.skipRest(); err != nil {
		return nil, err
	}
	part, err := r.in.ReadSlice('\n')
	r.line++
	if err == nil {
		return part, nil
	}
	r.long = append(r.long[:0], part...)
	for errors.Is(err, bufio.ErrBufferFull) && len(r.long) <= pipeline.MaxRowBytes {
		part, err = r.in.ReadSlice('\n')
		r.long = append(r.long, part...)
	}
	switch {
	case len(bytes.Trim(r.long, whitespace)) > pipeline.MaxRowBytes:
		r.rest = errors.Is(err, bufio.ErrBufferFull)
		return nil, r.bad(tooLong(r.line == 1, r.long))
	case errors.Is(err, bufio.ErrBufferFull): // whitespace alone exceeds the limit
		r.rest = true
		return nil, r.bad(tooLong(false, nil))
	case err == io.EOF && len(r.long) == 0:
		r.line--
		r.err = io.EOF
		return nil, r.err
	case err != nil && err != io.EOF:
		r.line--
		r.err = r.readError(err)
		return nil, r.err
	}
	return r.long, nil
}

// skipRest skips the rest of a line that was too long. It returns the error that ended reading
// earlier, if there is one.
func (r *Reader) skipRest() error {
	for r.rest && r.err == nil {
		_, err := r.in.ReadSlice('\n')
		switch {
		case err == nil:
			r.rest = false
		case err == io.EOF:
			r.err = io.EOF
		case !errors.Is(err, bufio.ErrBufferFull):
			r.err = r.readError(err)
		}
	}
	return r.err
}

// readError returns an error that says why no further row can be read.
func (r *Reader) readError(err error) error {
	var damage *damageError
	if errors.As(err, &damage) {
		return fmt.Errorf("dataset %s: the %s data are damaged or cut off after line %d: %w: fetch or compress the file again",
			r.name, damage.format, r.line, damage.err)
	}
	return fmt.Errorf("dataset %s cannot be read after line %d: %w", r.name, r.line, err)
}
