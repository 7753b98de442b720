// Package parquet reads rows of JSON from Parquet files and writes them there.
//
// Reading needs memory for one page and one dictionary of each column, which common writers bound
// by the size of a row group. Pages are unpacked here and not by the library, which allocates what
// the headers of a file claim and runs assembler over it: every size is compared with the file
// first, so a damaged or hostile file ends in an error.
//
// Writing takes two passes, for a column has one type in the whole file: a [Schema] sees all rows,
// and a [Writer] writes them.
package parquet

import (
	"errors"
	"fmt"
	"io"
)

// maxRowBytes bounds a row as it is put together: a small page may hold a long text many times.
const maxRowBytes = 64 << 20

// A RowError is a row that cannot be given. The next call of Next goes on with the row after it.
type RowError struct {
	Row     int64 // the first is 1
	Problem string
}

// Error says which row it is and why it cannot be given.
func (e *RowError) Error() string { return fmt.Sprintf("row %d: %s", e.Row, e.Problem) }

// A Reader reads the rows of one Parquet file. It is for one goroutine.
type Reader struct {
	name    string
	footer  *footer
	root    *node
	columns []*column
	decoder *decompressor

	group int   // the next row group
	left  int64 // rows of the current one
	row   int64 // rows that were read
	nans  int
	buf   []byte
	err   error // that ended the reading
}

// Open reads the description at the end of a file of a size in bytes. The name is for errors. The
// file has to stay open until the Reader is closed, which does not close it. An error says what is
// wrong with the file and what helps: it is encrypted, cut off, damaged, or of an unknown kind.
func Open(file io.ReaderAt, size int64, name string) (r *Reader, err error) {
	defer func() {
		if p := recover(); p != nil {
			r, err = nil, fmt.Errorf("the Parquet file %s is damaged (%v): get it again", name, p)
		}
	}()
	f, err := readFooter(file, size)
	if err != nil {
		return nil, fmt.Errorf("the Parquet file %s cannot be read: %w", name, damagedFooter(err))
	}
	root, columns, err := buildTree(f.schema)
	if err != nil {
		return nil, fmt.Errorf("the Parquet file %s cannot be read: %w", name, err)
	}
	for i, g := range f.groups {
		if len(g.chunks) != len(columns) {
			return nil, fmt.Errorf("the Parquet file %s is damaged: its row group %d has %d columns, and its schema %d: get it again", name, i, len(g.chunks), len(columns))
		}
	}
	decoder, shared := &decompressor{}, &memory{}
	for _, c := range columns {
		c.file, c.unpacker, c.memory = file, decoder, shared
	}
	return &Reader{name: name, footer: f, root: root, columns: columns, decoder: decoder}, nil
}

func damagedFooter(err error) error {
	if errors.Is(err, errThrift) {
		return fmt.Errorf("%w, so the file is damaged: get it again", err)
	}
	return err
}

// Rows returns how many rows the file has.
func (r *Reader) Rows() int64 { return r.footer.rows }

// NaNs returns how many numbers were read as null so far because JSON has no word for them: NaN
// and the two infinities.
func (r *Reader) NaNs() int { return r.nans }

// Close frees what the Reader holds. It does not close the file.
func (r *Reader) Close() error {
	r.decoder.close()
	r.columns, r.buf, r.err = nil, nil, fmt.Errorf("the Parquet file %s is closed", r.name)
	return nil
}

// Next returns the next row as a JSON object on one line, with the columns in the order of the
// file. It is valid until the next call. It returns io.EOF after the last row, a *RowError for a
// row that cannot be given, after which reading goes on, and else an error that ends the reading.
//
// Integers and decimal numbers are exact and keep their decimal places, floating-point numbers are
// the shortest that read as the same again, timestamps, dates and times are ISO 8601 (with Z if
// they are UTC), binary values base64, maps with texts as keys objects and other maps lists of
// objects with key and value.
func (r *Reader) Next() (row []byte, err error) {
	if r.err != nil {
		return nil, r.err
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it is damaged (%v)", p)
		}
		if err == nil {
			return
		}
		row = nil
		if _, ok := errors.AsType[*RowError](err); ok {
			return
		}
		if err != io.EOF {
			err = fmt.Errorf("the Parquet file %s cannot be read at row %d: %w", r.name, r.row+1, err)
		}
		r.err = err
	}()
	if err := r.nextGroup(); err != nil {
		return nil, err
	}
	for _, c := range r.columns {
		c.touched = false
	}
	out, err := r.object(r.buf[:0], r.root)
	r.buf = out[:0]
	if err != nil && !isProblem(err) {
		return nil, err
	}
	if end := r.endRow(err != nil); end != nil {
		return nil, end
	}
	r.row++
	if r.left--; r.left == 0 {
		if err := r.endGroup(); err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, &RowError{Row: r.row, Problem: err.Error()}
	}
	return out, nil
}

// nextGroup opens the next row group if the current one has no rows left.
func (r *Reader) nextGroup() error {
	for r.left == 0 {
		if r.group == len(r.footer.groups) {
			return io.EOF
		}
		g := r.footer.groups[r.group]
		r.group++
		r.left = g.rows
		for i, c := range r.columns {
			if err := c.open(g.chunks[i], g.rows); err != nil {
				return err
			}
		}
	}
	return nil
}

// endGroup sees that no column has values that no row took.
func (r *Reader) endGroup() error {
	for _, c := range r.columns {
		if c.pos < c.n || c.left > 0 {
			return c.damaged(fmt.Errorf("it has more values than its row group has rows"))
		}
	}
	return nil
}

// endRow goes to the beginning of the next row in all columns. Where the row was not broken off,
// each has to be there already, or their lists do not fit together.
func (r *Reader) endRow(broken bool) error {
	for _, c := range r.columns {
		if c.maxRep == 0 && c.touched {
			continue
		}
		for {
			switch err := c.load(); {
			case err == io.EOF && !c.touched:
				return c.damaged(fmt.Errorf("its values end before its rows"))
			case err == io.EOF:
			case err != nil:
				return err
			case !broken && (!c.touched || c.rep() > 0):
				return c.damaged(fmt.Errorf("it has more elements in a list than other columns of the same list"))
			case !c.touched || c.rep() > 0:
				if _, err := c.take(); err != nil {
					return err
				}
				continue
			}
			break
		}
	}
	return nil
}
