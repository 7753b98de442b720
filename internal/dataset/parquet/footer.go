package parquet

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/parquet-go/parquet-go/format"
)

// maxFooterBytes bounds the description of the data at the end of a file, which is held in memory
// while the file is open: 1,000 columns in 1,000 row groups need less.
const maxFooterBytes = 128 << 20

// maxLeaves bounds the columns of a file, those inside of lists and structs counted each.
const maxLeaves = 20_000

// A chunk is one column of a row group.
type chunk struct {
	kind                       int
	codec                      format.CompressionCodec
	values                     int64
	compressed                 int64
	dataOffset, dictOffset     int64
	encrypted, elsewhere, said bool
}

type rowGroup struct {
	rows   int64
	chunks []chunk
}

type footer struct {
	rows      int64
	schema    []element
	groups    []rowGroup
	encrypted bool
}

// readFooter reads the description of the data. All sizes in it are compared with the file's.
func readFooter(file io.ReaderAt, size int64) (*footer, error) {
	var head [4]byte
	var tail [8]byte
	if size < int64(len(head)+len(tail)) {
		return nil, fmt.Errorf("it has only %d bytes, so it was cut off or is no Parquet file: get it again", size)
	}
	if err := readFull(file, head[:], 0); err != nil {
		return nil, err
	}
	if err := readFull(file, tail[:], size-8); err != nil {
		return nil, err
	}
	if string(head[:]) == "PARE" || string(tail[4:]) == "PARE" {
		return nil, errEncrypted()
	}
	if string(head[:]) != "PAR1" {
		return nil, fmt.Errorf("it does not begin with PAR1, so it is no Parquet file")
	}
	if string(tail[4:]) != "PAR1" {
		return nil, fmt.Errorf("it does not end with PAR1, so it was cut off while it was written or copied: get it again")
	}
	length := int64(binary.LittleEndian.Uint32(tail[:]))
	if length > size-12 || length > maxFooterBytes {
		return nil, fmt.Errorf("it claims a footer of %d bytes, which is more than it has or than may be (%d), so it is damaged: get it again", length, maxFooterBytes)
	}
	data := make([]byte, length)
	if err := readFull(file, data, size-8-length); err != nil {
		return nil, err
	}
	f, err := parseFooter(data)
	if err != nil {
		return nil, err
	}
	return f, f.check(size - 8 - length)
}

func errEncrypted() error {
	return fmt.Errorf("it is encrypted, and Gleaner has no keys: write it without encryption by the program that has them")
}

// readFull reads a part of the file, and says where it ends if it is shorter.
func readFull(file io.ReaderAt, p []byte, offset int64) error {
	n, err := file.ReadAt(p, offset)
	if n == len(p) {
		return nil
	}
	if err == io.EOF || err == nil {
		return fmt.Errorf("it ends after %d bytes, in the middle of the data: it was cut off, get it again", offset+int64(n))
	}
	return fmt.Errorf("at byte %d: %w", offset+int64(n), err)
}

func parseFooter(data []byte) (*footer, error) {
	t := &thrift{data: data}
	f := &footer{}
	t.fields(func(id int, kind byte) {
		switch {
		case id == 2 && kind == thriftList:
			t.list(func(byte) {
				if len(f.schema) > 3*maxLeaves {
					t.fail()
					return
				}
				f.schema = append(f.schema, t.element())
			})
		case id == 3 && kind == thriftI64:
			f.rows = t.int()
		case id == 4 && kind == thriftList:
			t.list(func(byte) {
				g := t.rowGroup()
				if len(g.chunks) == 0 { // an empty struct needs one byte in the file, and many here
					t.fail()
					return
				}
				f.groups = append(f.groups, g)
			})
		case id == 8:
			f.encrypted = true
			t.skip(kind, 0)
		default:
			t.skip(kind, 0)
		}
	})
	return f, t.err
}

// check compares what the footer claims with the file, whose data end at a byte.
func (f *footer) check(end int64) error {
	if f.encrypted {
		return errEncrypted()
	}
	rows := int64(0)
	for i, g := range f.groups {
		if g.rows < 0 || g.rows > math.MaxInt64/2-rows {
			return fmt.Errorf("its row group %d claims %d rows, so it is damaged: get it again", i, g.rows)
		}
		rows += g.rows
		for j, c := range g.chunks {
			switch start := c.start(); {
			case c.encrypted:
				return errEncrypted()
			case c.elsewhere:
				return fmt.Errorf("its column %d lies in another file: write both as one file", j)
			case c.values < 0 || c.compressed < 0 || start < 4 || start > end || c.compressed > end-start:
				return fmt.Errorf("column %d of its row group %d claims the bytes %d to %d, and the data end at %d, so the file is damaged or was cut off: get it again", j, i, start, start+c.compressed, end)
			}
		}
	}
	if rows != f.rows {
		return fmt.Errorf("it claims %d rows, and its row groups have %d, so it is damaged: get it again", f.rows, rows)
	}
	return nil
}

// start is where the pages of a chunk begin. Some writers leave a zero for what is not there.
func (c chunk) start() int64 {
	if c.dictOffset > 0 && (c.dictOffset < c.dataOffset || c.dataOffset == 0) {
		return c.dictOffset
	}
	return c.dataOffset
}

func (t *thrift) rowGroup() (g rowGroup) {
	t.fields(func(id int, kind byte) {
		switch {
		case id == 1 && kind == thriftList:
			t.list(func(byte) {
				c := t.chunk()
				if !c.said && !c.encrypted {
					t.fail()
					return
				}
				g.chunks = append(g.chunks, c)
			})
		case id == 3 && kind == thriftI64:
			g.rows = t.int()
		default:
			t.skip(kind, 0)
		}
	})
	return g
}

func (t *thrift) chunk() (c chunk) {
	t.fields(func(id int, kind byte) {
		switch {
		case id == 1 && kind == thriftBinary:
			c.elsewhere = len(t.bytes()) > 0
		case id == 3 && kind == thriftStruct:
			c.said = true
			t.chunkMeta(&c)
		case id == 8 || id == 9:
			c.encrypted = true
			t.skip(kind, 0)
		default:
			t.skip(kind, 0)
		}
	})
	return c
}

func (t *thrift) chunkMeta(c *chunk) {
	t.fields(func(id int, kind byte) {
		switch {
		case id == 1 && kind == thriftI32:
			c.kind = int(t.int())
		case id == 4 && kind == thriftI32:
			c.codec = format.CompressionCodec(t.int())
		case id == 5 && kind == thriftI64:
			c.values = t.int()
		case id == 7 && kind == thriftI64:
			c.compressed = t.int()
		case id == 9 && kind == thriftI64:
			c.dataOffset = t.int()
		case id == 11 && kind == thriftI64:
			c.dictOffset = t.int()
		default:
			t.skip(kind, 0)
		}
	})
}
