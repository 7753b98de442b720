package export

import (
	"io"

	"gleaner/internal/dataset/parquet"
)

// shardBytes is the most that one file of a folder has, and shardMargin what a Parquet writer may
// hold back when it says how much it has written, and what it is given before it is asked again.
const (
	shardBytes    = 256 << 20
	shardMargin   = 16 << 20
	measuredBytes = 1 << 20
)

// A columnarWriter writes Parquet: one file, or shards. The types of the columns are known when all
// rows were seen, so the rows wait in a spool.
type columnarWriter struct {
	next   func() (io.Writer, error) // begins a file
	limit  int64                     // bytes of a file, about; 0: none
	spool  *spool
	schema parquet.Schema
	rows   []int  // of each file
	answer string // the column that a file without rows has
}

// Write takes a row.
func (w *columnarWriter) Write(row []byte) error {
	if err := w.schema.ObserveValid(row); err != nil {
		return err
	}
	return w.spool.add(row)
}

// Close writes the files: at least one.
func (w *columnarWriter) Close() error {
	if w.schema.Rows() == 0 { // a file needs a column
		if err := w.schema.Observe(append(appendText([]byte{'{'}, w.answer), ": null}"...)); err != nil {
			return err
		}
	}
	var file *parquet.Writer
	begin := func() error {
		to, err := w.next()
		if err == nil {
			file, err = parquet.NewWriter(to, &w.schema)
		}
		w.rows = append(w.rows, 0)
		return err
	}
	if err := begin(); err != nil {
		return err
	}
	defer func() {
		if file != nil {
			file.Abort()
		}
	}()
	unmeasured := 0 // bytes of rows since the size of the file was asked for
	err := w.spool.each(func(row []byte) error {
		if unmeasured += len(row); w.limit > 0 && unmeasured > int(min(measuredBytes, w.limit/16)) {
			unmeasured = 0
			if file.Size() >= w.limit {
				if err := file.Close(); err != nil {
					return err
				}
				if err := begin(); err != nil {
					return err
				}
			}
		}
		w.rows[len(w.rows)-1]++
		return file.Write(row)
	})
	if err != nil {
		return err
	}
	return file.Close()
}

func (w *columnarWriter) remove() { w.spool.remove() }
