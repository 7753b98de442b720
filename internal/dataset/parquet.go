package dataset

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"gleaner/internal/dataset/parquet"

	"gleaner/internal/pipeline"
)

// parquetRows reads the rows of a Parquet file. Its bytes are not read in order, so that they count
// as read in the measure of the rows.
type parquetRows struct {
	file *parquet.Reader
	rows int

	size, counted int64 // bytes
	count         func(int)
}

// progress counts the bytes of the rows that were read, or all at the end.
func (p *parquetRows) progress(end bool) {
	now := p.size
	if all := p.file.Rows(); !end && all > 0 {
		now = int64(float64(p.size) * min(1, float64(p.rows)/float64(all)))
	}
	if now > p.counted {
		p.count(int(now - p.counted))
		p.counted = now
	}
}

func (p *parquetRows) next() ([]byte, error) {
	row, err := p.file.Next()
	var bad *parquet.RowError
	switch {
	case err == nil:
		p.rows++
		p.progress(false)
	case errors.As(err, &bad):
		p.rows = int(bad.Row)
		return nil, &pipeline.RowError{Line: p.rows, Kind: pipeline.Unreadable, Problem: bad.Problem}
	case err == io.EOF:
		p.progress(true)
	default:
		return nil, &columnsError{err}
	}
	return row, err
}

// A columnsError is an error of a Parquet file, which names the file and the row itself.
type columnsError struct{ err error }

func (e *columnsError) Error() string { return e.err.Error() }
func (e *columnsError) Unwrap() error { return e.err }

func (p *parquetRows) position() int { return p.rows }
func (p *parquetRows) notes() notes  { return notes{nulled: p.file.NaNs()} }

// parquet opens a Parquet file. What came through a pipe is kept in a temporary file, since such
// files are read from their end.
func (c *content) parquet(stream io.Reader, begun *bufio.Reader, name string, o SourceOptions) error {
	if o.RowsAt != "" {
		return fmt.Errorf("dataset %s is a Parquet file, and --rows-at is for JSON: leave it out", name)
	}
	file, ok := stream.(*os.File)
	info := os.FileInfo(nil)
	if ok {
		var err error
		if info, err = file.Stat(); err != nil {
			return openError(name, err)
		}
	}
	counted := int64(begun.Buffered())
	if !ok || !info.Mode().IsRegular() {
		var err error
		if file, err = c.keep(begun, name); err != nil {
			return err
		}
		if info, err = file.Stat(); err != nil {
			return openError(name, err)
		}
		counted = info.Size()
	}
	columns, err := parquet.Open(file, info.Size(), name)
	if err != nil {
		return err
	}
	c.closers = append(c.closers, columns.Close)
	c.rowReader = &parquetRows{file: columns, size: info.Size(), counted: counted, count: c.count}
	return nil
}

// keep copies a stream to a temporary file, which is removed with the content.
func (c *content) keep(stream io.Reader, name string) (*os.File, error) {
	file, err := os.CreateTemp("", "gleaner-parquet-*")
	if err != nil {
		return nil, fmt.Errorf("keeping %s in a temporary file: %w", name, err)
	}
	c.closers = append(c.closers, func() error { return errors.Join(file.Close(), os.Remove(file.Name())) })
	if _, err := io.Copy(file, stream); err != nil {
		return nil, fmt.Errorf("keeping %s in %s: %w: free some space, or set TMPDIR to another disk", name, file.Name(), err)
	}
	return file, nil
}
