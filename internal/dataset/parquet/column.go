package parquet

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"unsafe"

	"github.com/parquet-go/parquet-go/format"
)

// maxHeldBytes bounds what the pages of all columns may need in memory at once.
const maxHeldBytes = 2 << 30

// A memory counts what all columns of a file hold.
type memory struct{ held int64 }

// hold notes that a buffer grows, in bytes.
func (m *memory) hold(before, after int64) error {
	if after <= before {
		return nil
	}
	if m.held += after - before; m.held > maxHeldBytes {
		return fmt.Errorf("its pages would need more than %d bytes in memory at once: write the file with smaller pages", int64(maxHeldBytes))
	}
	return nil
}

// grow returns a slice of a length, which is buf where that has enough room, and counts its memory.
func grow[T any](m *memory, buf []T, n int) ([]T, error) {
	if cap(buf) >= n {
		return buf[:n], nil
	}
	size := int64(unsafe.Sizeof(*new(T)))
	if err := m.hold(int64(cap(buf))*size, int64(n)*size); err != nil {
		return buf, err
	}
	return make([]T, n), nil
}

// A column reads the levels and values of one leaf, page by page.
type column struct {
	path           string
	kind           format.Type
	width          int // of values that all have the same, in bytes; 0 for byte arrays
	maxRep, maxDef int
	isText         bool

	file     io.ReaderAt
	unpacker *decompressor
	memory   *memory
	chunk    chunk
	rows     int64 // of the row group
	offset   int64 // of the next page
	end      int64
	left     int64 // values that later pages have

	packed, plain, scratch []byte // buffers

	// The page. Levels are there for nested and optional columns only.
	n, pos     int
	reps, defs []byte
	touched    bool // since the row began

	// Its values: indexes into the dictionary, plain data, or what a delta encoding has.
	dict      dictionary
	indexes   []uint32
	data      []byte
	fixedBuf  []byte
	lengths   []int64
	prefixes  []int64
	previous  []byte
	next      int // of indexes, or of values that all have one width, or of lengths
	at        int // in data
	useDict   bool
	useDeltas bool
	haveDict  bool
}

// A dictionary holds the different values of a column.
type dictionary struct {
	data    []byte
	offsets []uint32 // of byte arrays, one more than there are values
	count   int
}

// open begins with a column of a row group.
func (c *column) open(ch chunk, rows int64) error {
	if !supported(ch.codec) {
		return fmt.Errorf("column %q is packed with %s, which is not read: %s", c.path, ch.codec, rewriteAdvice())
	}
	if format.Type(ch.kind) != c.kind {
		return c.damaged(fmt.Errorf("it has values of type %s in a column of type %s", format.Type(ch.kind), c.kind))
	}
	if c.maxRep == 0 && ch.values != rows {
		return c.damaged(fmt.Errorf("it has %d values in a row group of %d rows", ch.values, rows))
	}
	c.chunk, c.rows = ch, rows
	c.offset = ch.start()
	c.end = c.offset + ch.compressed
	c.left = ch.values
	c.n, c.pos, c.haveDict = 0, 0, false
	return nil
}

// rewriteAdvice is how a user gets a file that can be read.
func rewriteAdvice() string {
	return `write the file again, as by: python3 -c "import sys, pyarrow.parquet as p; p.write_table(p.read_table(sys.argv[1]), sys.argv[2], compression='zstd')" OLD.parquet NEW.parquet`
}

func (c *column) damaged(err error) error {
	return fmt.Errorf("column %q is damaged: %w", c.path, err)
}

// load makes sure that there is a value. It returns io.EOF at the end of the row group.
func (c *column) load() error {
	for c.pos >= c.n {
		if c.left == 0 {
			return io.EOF
		}
		if err := c.readPage(); err != nil {
			return c.damaged(err)
		}
	}
	return nil
}

func (c *column) readPage() error {
	if c.offset >= c.end {
		return fmt.Errorf("%d values are missing", c.left)
	}
	h, length, err := c.readHeader()
	if err != nil {
		return err
	}
	body := c.offset + length
	c.offset = body + h.packed
	switch h.kind {
	case format.DataPage, format.DataPageV2, format.DictionaryPage:
	default:
		return nil // an index, or a kind of the future
	}
	if c.packed, err = grow(c.memory, c.packed, int(h.packed)); err != nil {
		return err
	}
	if err := readFull(c.file, c.packed, body); err != nil {
		return err
	}
	if h.kind == format.DictionaryPage {
		return c.readDictionary(h)
	}
	if h.values > c.left {
		return fmt.Errorf("a page claims %d values, and %d are left", h.values, c.left)
	}
	data, plain, err := c.unpackPage(h, c.packed, c.plain)
	c.plain = plain
	if err != nil {
		return err
	}
	if data, err = c.levels(h, data); err != nil {
		return err
	}
	c.left -= h.values
	c.n, c.pos = int(h.values), 0
	return c.values(h.encoding, data)
}

func (c *column) readDictionary(h pageHeader) error {
	if h.encoding != format.Plain && h.encoding != plainDictionary {
		return fmt.Errorf("its dictionary has the encoding %s, which is not read", h.encoding)
	}
	data, buf, err := c.unpackPage(h, c.packed, c.dict.data[:0])
	if err != nil {
		return err
	}
	if c.chunk.codec == format.Uncompressed {
		if buf, err = grow(c.memory, buf, len(data)); err != nil {
			return err
		}
		copy(buf, data)
	}
	c.dict.data, c.dict.count, c.haveDict = buf, int(h.values), true
	switch {
	case c.kind == format.Boolean:
		return fmt.Errorf("it has a dictionary of booleans")
	case c.width > 0:
		if len(data)/c.width < c.dict.count {
			return errPage
		}
		return nil
	}
	if c.dict.offsets, err = grow(c.memory, c.dict.offsets, c.dict.count+1); err != nil {
		return err
	}
	at := 0
	for i := range c.dict.count {
		if len(buf)-at < 4 || uint64(binary.LittleEndian.Uint32(buf[at:])) > uint64(len(buf)-at-4) {
			return errPage
		}
		at += 4
		c.dict.offsets[i] = uint32(at)
		at += int(binary.LittleEndian.Uint32(buf[at-4:]))
	}
	c.dict.offsets[c.dict.count] = uint32(at + 4)
	return nil
}

// rep returns the repetition level of the next value: 0 where a row begins.
func (c *column) rep() int {
	if c.maxRep == 0 {
		return 0
	}
	return int(c.reps[c.pos])
}

// def returns the definition level of the next value: how much of its path is there.
func (c *column) def() int {
	if c.maxDef == 0 {
		return 0
	}
	return int(c.defs[c.pos])
}

// take goes on to the next value, and returns the bytes of this one if it is not null. They are
// valid until the next call.
func (c *column) take() ([]byte, error) {
	def := c.def()
	c.pos++
	c.touched = true
	if def < c.maxDef {
		return nil, nil
	}
	if c.useDict {
		i := int(c.indexes[c.next])
		c.next++
		if c.width > 0 {
			return c.dict.data[i*c.width : (i+1)*c.width], nil
		}
		return c.dict.data[c.dict.offsets[i] : c.dict.offsets[i+1]-4], nil
	}
	if c.useDeltas {
		return c.takeDelta()
	}
	if c.width > 0 {
		i := c.next * c.width
		c.next++
		return c.data[i : i+c.width], nil
	}
	if len(c.data)-c.at < 4 {
		return nil, c.damaged(errPage)
	}
	length := binary.LittleEndian.Uint32(c.data[c.at:])
	c.at += 4
	if length > math.MaxInt32 || int(length) > len(c.data)-c.at {
		return nil, c.damaged(errPage)
	}
	c.at += int(length)
	return c.data[c.at-int(length) : c.at], nil
}

func (c *column) takeDelta() ([]byte, error) {
	length := c.lengths[c.next]
	if length < 0 || length > int64(len(c.data)-c.at) {
		return nil, c.damaged(errPage)
	}
	value := c.data[c.at : c.at+int(length)]
	c.at += int(length)
	if len(c.prefixes) > 0 {
		prefix := c.prefixes[c.next]
		if prefix < 0 || prefix > int64(len(c.previous)) {
			return nil, c.damaged(errPage)
		}
		c.previous = append(c.previous[:prefix], value...)
		value = c.previous
	}
	c.next++
	if c.width > 0 && len(value) != c.width {
		return nil, c.damaged(errPage)
	}
	return value, nil
}
