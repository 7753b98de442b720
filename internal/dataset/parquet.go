package dataset

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
)

// A columnFile is an open Parquet file.
type columnFile interface {
	Next() ([]byte, error) // the next row, or io.EOF
	NaNs() int             // that were read as null so far
	Close() error
}

// openColumns opens a Parquet file of the given size.
func openColumns(file io.ReaderAt, size int64, name string) (columnFile, error) {
	return nil, fmt.Errorf("dataset %s is a Parquet file, which this build does not read", name)
}

// parquetRows reads the rows of a Parquet file.
type parquetRows struct {
	file columnFile
	rows int
}

func (p *parquetRows) next() ([]byte, error) {
	row, err := p.file.Next()
	if err == nil {
		p.rows++
	}
	return row, err
}

func (p *parquetRows) position() int { return p.rows }
func (p *parquetRows) notes() notes  { return notes{nulled: p.file.NaNs()} }

// parquet opens a Parquet file. What came through a pipe is kept in a temporary file, since such
// files are read from their end.
func (c *content) parquet(stream io.Reader, begun *bufio.Reader, name string) error {
	file, ok := stream.(*os.File)
	info := os.FileInfo(nil)
	if ok {
		var err error
		if info, err = file.Stat(); err != nil {
			return openError(name, err)
		}
	}
	if !ok || !info.Mode().IsRegular() {
		var err error
		if file, err = c.keep(begun, name); err != nil {
			return err
		}
		if info, err = file.Stat(); err != nil {
			return openError(name, err)
		}
	}
	columns, err := openColumns(file, info.Size(), name)
	if err != nil {
		return err
	}
	c.closers = append(c.closers, columns.Close)
	c.rowReader = &parquetRows{file: columns}
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
