package parquet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	pq "github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

const (
	groupRows    = 100_000
	groupBytes   = 64 << 20 // of values, before compression
	pageBytes    = 1 << 20
	batchRows    = 256 // rows that are handed to the library at once
	batchBytes   = 1 << 20
	columnBytes  = 64 << 20 // the pages of all columns together, where there are many
	smallestPage = 16 << 10
)

// A Writer writes rows into one Parquet file, compressed with zstd, in row groups of at most
// 100,000 rows and about 64 MiB. It needs memory for one row group. It is for one goroutine; while
// that takes rows apart, another one of its own packs those before them.
type Writer struct {
	out     *pq.GenericWriter[any]
	root    *plan
	columns []*pq.ColumnWriter
	batch              // what the library does not have yet
	spare   batch      // memory for the next one
	handed  chan error // gets the outcome of the batch that the library is given; nil: there is none
	objects int64
	group   struct{ rows, bytes int }

	replaced int
	err      error
}

// A batch is rows that are handed to the library together.
type batch struct {
	values [][]pq.Value // for each column
	arena  []byte       // their texts
	rows   int
}

// NewWriter begins a file with the columns and types of a Schema that has observed every row. The
// Schema may be used for several files, such as the shards of a dataset, which then all have the
// same columns. It returns an error if the rows have no column.
func NewWriter(w io.Writer, s *Schema) (out *Writer, err error) {
	defer func() {
		if p := recover(); p != nil {
			out, err = nil, fmt.Errorf("begin a Parquet file: %v", p)
		}
	}()
	if len(s.root.fields) == 0 {
		return nil, errors.New("begin a Parquet file: there are no columns, and a Parquet file needs one: write JSON Lines, or rows that have a column")
	}
	p := &planner{}
	root := &plan{kind: planStruct}
	p.fields(root, &s.root)
	page := max(smallestPage, min(pageBytes, columnBytes/p.leaves))
	config, err := pq.NewWriterConfig(
		pq.NewSchema("schema", root.group()),
		pq.Compression(&zstd.Codec{Level: zstd.SpeedFastest}),
		pq.DataPageVersion(1),
		pq.PageBufferSize(page),
		pq.CreatedBy("gleaner", "", ""),
	)
	if err != nil {
		return nil, fmt.Errorf("begin a Parquet file: %w", err)
	}
	file := pq.NewGenericWriter[any](w, config)
	return &Writer{
		out: file, root: root, columns: file.ColumnWriters(),
		batch: batch{values: make([][]pq.Value, p.leaves)}, spare: batch{values: make([][]pq.Value, p.leaves)},
	}, nil
}

// Size returns about how many bytes the file would have if it ended now; what is not compressed
// yet counts as it is. It waits until all rows but those of the last batch are packed.
func (w *Writer) Size() int64 {
	if err := w.wait(); err != nil && w.err == nil {
		w.err = fmt.Errorf("write a row into a Parquet file: %w", err)
	}
	return w.out.Size() + int64(len(w.arena))
}

// Write adds a row, which is a JSON object that the Schema has observed. After an error the file is
// not complete and nothing more can be written.
func (w *Writer) Write(row []byte) (err error) {
	if w.err != nil {
		return w.err
	}
	defer w.fail(&err)
	scan := scanner{data: row} // Observe saw that it is an object, so it is not parsed twice
	if scan.kind() != '{' {
		return fmt.Errorf("the row %.100q is no JSON object", row)
	}
	if err := w.object(w.root, &scan, 0); err != nil {
		return err
	}
	w.rows++
	w.group.rows++
	w.group.bytes += len(row)
	full := w.group.rows == groupRows || w.group.bytes >= groupBytes
	if w.rows < batchRows && len(w.arena) < batchBytes && !full {
		return nil
	}
	if full {
		w.group.rows, w.group.bytes = 0, 0
	}
	return w.flush(full)
}

// fail keeps an error, or makes one of a panic of the library.
func (w *Writer) fail(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("it is no valid JSON, or the library failed: %v", p)
	}
	if *err != nil {
		w.err = fmt.Errorf("write a row into a Parquet file: %w", *err)
		*err = w.err
	}
}

// Replaced returns how many texts so far had something that is no UTF-8, such as half of a
// surrogate pair, and have U+FFFD for it in the file.
func (w *Writer) Replaced() int { return w.replaced }

// flush hands the batch to the library, which packs it while the next one is made, and ends the row
// group where that is full.
func (w *Writer) flush(full bool) error {
	if err := w.wait(); err != nil {
		return err
	}
	given := w.batch
	w.batch, w.spare = w.spare, given
	w.rows, w.arena = 0, w.arena[:0]
	for i := range w.values {
		w.values[i] = w.values[i][:0]
	}
	handed := make(chan error, 1)
	go func() { handed <- w.hand(given, full) }()
	w.handed = handed
	return nil
}

// hand gives a batch to the library, which copies it.
func (w *Writer) hand(given batch, full bool) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the library failed: %v", p)
		}
	}()
	for i, values := range given.values {
		if len(values) == 0 {
			continue
		}
		if _, err := w.columns[i].WriteRowValues(values); err != nil {
			return err
		}
		clear(values)
	}
	if full {
		return w.out.Flush()
	}
	return nil
}

// wait waits until the library has all that it was given.
func (w *Writer) wait() error {
	if w.handed == nil {
		return nil
	}
	err := <-w.handed
	w.handed = nil
	return err
}

// Abort ends the writer of a file that will not be complete, and waits for what it does in the
// background. After Close it does nothing.
func (w *Writer) Abort() {
	_ = w.wait() // it is given up in any case
	if w.err == nil {
		w.err = errors.New("the Parquet file is given up")
	}
}

// Close writes what is left and the description of the data, without which a file cannot be read.
// It does not close what it writes to.
func (w *Writer) Close() (err error) {
	if w.err != nil {
		return w.err
	}
	defer w.fail(&err)
	if err := w.flush(false); err != nil {
		return err
	}
	if err := w.wait(); err != nil {
		return err
	}
	if err := w.out.Close(); err != nil {
		return err
	}
	w.err = errors.New("the Parquet file is closed")
	return nil
}

// null writes that a value is not there, in all of its columns.
func (w *Writer) null(p *plan, rep, def int) {
	for i := p.first; i < p.last; i++ {
		w.values[i] = append(w.values[i], pq.Value{}.Level(rep, def, i))
	}
}

func (w *Writer) object(p *plan, scan *scanner, rep int) error {
	w.objects++
	object := w.objects
	i := 0
	for scan.enter(); scan.more(); i++ {
		written := scan.key()
		var field *plan
		if i < len(p.fields) && p.fields[i].name == string(written) {
			field = p.fields[i]
		} else if field = p.byName[unquoted(written)]; field == nil {
			return fmt.Errorf("the column %.100q was not among the rows that the schema has seen", written)
		}
		if field.seen == object {
			return fmt.Errorf("the name %.100q stands twice in one object: rename or remove one", field.name)
		}
		field.seen = object
		if err := w.value(field, scan, rep); err != nil {
			return err
		}
	}
	if i < len(p.fields) {
		for _, f := range p.fields {
			if f.seen != object {
				w.null(f, rep, p.def)
			}
		}
	}
	return nil
}

// value writes one value at the level def-1 of its plan, or higher.
func (w *Writer) value(p *plan, scan *scanner, rep int) error {
	kind := scan.kind()
	if kind == 'n' {
		scan.scalar()
		w.null(p, rep, p.def-1)
		return nil
	}
	var v pq.Value
	switch {
	case p.kind == planText:
		v = w.text(scan.skip(), false)
	case p.kind == planString && kind == '"':
		v = w.text(scan.text(), true)
	case p.kind == planBool && (kind == 't' || kind == 'f'):
		scan.scalar()
		v = pq.BooleanValue(kind == 't')
	case p.kind == planList && kind == '[':
		return w.list(p, scan, rep)
	case p.kind == planStruct && kind == '{':
		return w.object(p, scan, rep)
	case p.kind == planInt || p.kind == planUint || p.kind == planFloat:
		var err error
		if v, err = number(p.kind, scan.scalar()); err != nil {
			return unseen(p)
		}
	default:
		return unseen(p)
	}
	w.values[p.column] = append(w.values[p.column], v.Level(rep, p.def, p.column))
	return nil
}

func unseen(p *plan) error {
	return fmt.Errorf("column %q has a value of a type that was not among the rows that the schema has seen", p.path)
}

func number(kind int, token []byte) (pq.Value, error) {
	switch kind {
	case planInt:
		v, err := strconv.ParseInt(string(token), 10, 64)
		return pq.Int64Value(v), err
	case planUint:
		v, err := strconv.ParseUint(string(token), 10, 64)
		return pq.Int64Value(int64(v)), err
	}
	v, err := strconv.ParseFloat(string(token), 64)
	return pq.DoubleValue(v), err
}

// text keeps a copy of a text until the batch is handed over.
func (w *Writer) text(written []byte, unescape bool) pq.Value {
	start, replaced := len(w.arena), false
	switch {
	case unescape:
		w.arena, replaced = appendUnescaped(w.arena, written)
	case utf8.Valid(written):
		w.arena = append(w.arena, written...)
	default:
		w.arena, replaced = append(w.arena, bytes.ToValidUTF8(written, []byte("\ufffd"))...), true
	}
	if replaced {
		w.replaced++
	}
	return pq.ByteArrayValue(w.arena[start:len(w.arena):len(w.arena)])
}

func (w *Writer) list(p *plan, scan *scanner, rep int) error {
	empty := true
	for scan.enter(); scan.more(); empty = false {
		if err := w.value(p.element, scan, rep); err != nil {
			return err
		}
		rep = p.rep
	}
	if empty {
		w.null(p, rep, p.def)
	}
	return nil
}
