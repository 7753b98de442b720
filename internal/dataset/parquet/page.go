package parquet

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/parquet-go/parquet-go/format"
)

// What a page may claim. Common writers make pages of 1 to 100 MiB; some old ones a single page
// of a whole row group.
const (
	maxPageBytes  = 1 << 30
	maxPageValues = 1 << 25
	maxHeaderSize = 16 << 20 // of a page, with the smallest and the largest value in it
)

// plainDictionary is what old writers call both a dictionary and the indexes into it.
const plainDictionary format.Encoding = 2

// A pageHeader stands before each page. The two versions of data pages share the fields.
type pageHeader struct {
	kind                     format.PageType
	plain, packed            int64 // sizes without and with compression
	crc                      uint32
	hasCRC                   bool
	values                   int64
	encoding                 format.Encoding
	repEncoding, defEncoding format.Encoding // of version 1
	repBytes, defBytes       int64           // of version 2
	stored                   bool            // version 2 may leave a page as it is
}

// readHeader reads the header of the next page, and returns its length.
func (c *column) readHeader() (h pageHeader, length int64, err error) {
	for size := int64(256); ; size *= 8 {
		size = min(size, c.end-c.offset)
		if c.scratch, err = grow(c.memory, c.scratch, int(size)); err != nil {
			return h, 0, err
		}
		if err := readFull(c.file, c.scratch, c.offset); err != nil {
			return h, 0, err
		}
		t := &thrift{data: c.scratch}
		h = t.pageHeader()
		if t.err == nil {
			return h, int64(t.pos), h.check(c.end - c.offset - int64(t.pos))
		}
		if size == c.end-c.offset || size >= maxHeaderSize {
			return h, 0, fmt.Errorf("the header of a page cannot be decoded")
		}
	}
}

// check compares the sizes with what is left of the column.
func (h pageHeader) check(left int64) error {
	switch {
	case h.packed < 0 || h.packed > left:
		return fmt.Errorf("a page claims %d bytes, and %d are left", h.packed, left)
	case h.plain < 0 || h.plain > maxPageBytes:
		return fmt.Errorf("a page claims %d bytes, and %d are the most that is read: write the file with smaller pages", h.plain, maxPageBytes)
	case h.values < 0 || h.values > maxPageValues:
		return fmt.Errorf("a page claims %d values, and %d are the most that is read: write the file with smaller pages", h.values, maxPageValues)
	case h.repBytes < 0 || h.defBytes < 0 || h.repBytes > h.packed || h.defBytes > h.packed-h.repBytes:
		return fmt.Errorf("a page claims more bytes for its levels than it has")
	}
	return nil
}

func (t *thrift) pageHeader() pageHeader {
	h := pageHeader{kind: none}
	t.fields(func(id int, kind byte) {
		switch {
		case id == 1 && kind == thriftI32:
			h.kind = format.PageType(t.int())
		case id == 2 && kind == thriftI32:
			h.plain = t.int()
		case id == 3 && kind == thriftI32:
			h.packed = t.int()
		case id == 4 && kind == thriftI32:
			h.crc, h.hasCRC = uint32(t.int()), true
		case id == 5 && kind == thriftStruct:
			t.dataPage(&h)
		case id == 7 && kind == thriftStruct:
			t.dictionaryPage(&h)
		case id == 8 && kind == thriftStruct:
			t.dataPageV2(&h)
		default:
			t.skip(kind, 0)
		}
	})
	return h
}

func (t *thrift) dataPage(h *pageHeader) {
	t.fields(func(id int, kind byte) {
		switch {
		case id == 1 && kind == thriftI32:
			h.values = t.int()
		case id == 2 && kind == thriftI32:
			h.encoding = format.Encoding(t.int())
		case id == 3 && kind == thriftI32:
			h.defEncoding = format.Encoding(t.int())
		case id == 4 && kind == thriftI32:
			h.repEncoding = format.Encoding(t.int())
		default:
			t.skip(kind, 0)
		}
	})
}

func (t *thrift) dictionaryPage(h *pageHeader) {
	t.fields(func(id int, kind byte) {
		switch {
		case id == 1 && kind == thriftI32:
			h.values = t.int()
		case id == 2 && kind == thriftI32:
			h.encoding = format.Encoding(t.int())
		default:
			t.skip(kind, 0)
		}
	})
}

func (t *thrift) dataPageV2(h *pageHeader) {
	t.fields(func(id int, kind byte) {
		switch {
		case id == 1 && kind == thriftI32:
			h.values = t.int()
		case id == 4 && kind == thriftI32:
			h.encoding = format.Encoding(t.int())
		case id == 5 && kind == thriftI32:
			h.defBytes = t.int()
		case id == 6 && kind == thriftI32:
			h.repBytes = t.int()
		case id == 7 && kind <= thriftFalse:
			h.stored = kind == thriftFalse
		default:
			t.skip(kind, 0)
		}
	})
}

// unpackPage returns the bytes of a page without compression; the levels of version 2 stay in
// front of them. The result is packed itself, or lies in buf.
func (c *column) unpackPage(h pageHeader, packed, buf []byte) ([]byte, []byte, error) {
	if h.hasCRC && crc32.ChecksumIEEE(packed) != h.crc {
		return nil, buf, fmt.Errorf("the checksum of a page is wrong")
	}
	if c.chunk.codec == format.Uncompressed || h.stored {
		return packed, buf, nil
	}
	levels := int64(0)
	if h.kind == format.DataPageV2 {
		levels = h.repBytes + h.defBytes
	}
	if h.plain < levels || h.plain-levels > (h.packed-levels)*ratio(c.chunk.codec)+64 {
		return nil, buf, fmt.Errorf("a page of %d bytes claims to have %d when unpacked with %s, which it cannot", h.packed, h.plain, c.chunk.codec)
	}
	var err error
	if buf, err = grow(c.memory, buf, int(h.plain)); err != nil {
		return nil, buf, err
	}
	copy(buf, packed[:levels])
	if h.plain == levels { // nothing but nulls: some writers pack the empty rest, some do not
		return buf, buf, nil
	}
	return buf, buf, c.unpacker.unpack(buf[levels:], packed[levels:], c.chunk.codec)
}

// levels cuts the two kinds of levels off a data page, and returns the rest.
func (c *column) levels(h pageHeader, data []byte) ([]byte, error) {
	n := int(h.values)
	var err error
	if h.kind == format.DataPageV2 {
		reps, defs := data[:h.repBytes], data[h.repBytes:h.repBytes+h.defBytes]
		if c.reps, err = c.decodeLevels(c.reps, n, c.maxRep, reps); err != nil {
			return nil, err
		}
		c.defs, err = c.decodeLevels(c.defs, n, c.maxDef, defs)
		return data[h.repBytes+h.defBytes:], err
	}
	cut := func(levels []byte, most int, encoding format.Encoding) ([]byte, error) {
		if most == 0 {
			return levels, nil
		}
		if encoding != format.RLE {
			return nil, fmt.Errorf("its levels have the encoding %s, which is not read", encoding)
		}
		if len(data) < 4 || uint64(binary.LittleEndian.Uint32(data)) > uint64(len(data)-4) {
			return nil, errPage
		}
		end := 4 + int(binary.LittleEndian.Uint32(data))
		src := data[4:end]
		data = data[end:]
		return c.decodeLevels(levels, n, most, src)
	}
	if c.reps, err = cut(c.reps, c.maxRep, h.repEncoding); err != nil {
		return nil, err
	}
	c.defs, err = cut(c.defs, c.maxDef, h.defEncoding)
	return data, err
}

func (c *column) decodeLevels(dst []byte, n, most int, src []byte) ([]byte, error) {
	if most == 0 {
		return dst, nil
	}
	dst, err := grow(c.memory, dst, n)
	if err != nil {
		return nil, err
	}
	if err := hybrid(dst, src, levelBits(most)); err != nil {
		return nil, err
	}
	for _, level := range dst {
		if int(level) > most {
			return nil, fmt.Errorf("a level is %d, and %d is the highest", level, most)
		}
	}
	return dst, nil
}
