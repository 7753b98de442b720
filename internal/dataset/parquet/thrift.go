package parquet

import (
	"encoding/binary"
	"errors"
)

// The kinds of values in Thrift's compact protocol, in which footers and page headers are written.
const (
	thriftTrue   = 1
	thriftFalse  = 2
	thriftByte   = 3
	thriftI16    = 4
	thriftI32    = 5
	thriftI64    = 6
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftSet    = 10
	thriftMap    = 11
	thriftStruct = 12
)

// maxThriftDepth is how deep structs and lists may nest: the format needs seven.
const maxThriftDepth = 32

var errThrift = errors.New("its description of the data cannot be decoded")

// A thrift reads Thrift's compact protocol from bytes. It never allocates for what is only
// claimed: a list cannot have more elements than there are bytes left. The first problem stays in
// err, and all reads after it give zeros.
type thrift struct {
	data []byte
	pos  int
	err  error
}

func (t *thrift) fail() {
	t.err = errThrift
	t.pos = len(t.data)
}

func (t *thrift) byte() byte {
	if t.pos >= len(t.data) {
		t.fail()
		return 0
	}
	t.pos++
	return t.data[t.pos-1]
}

func (t *thrift) uvarint() uint64 {
	v, n := binary.Uvarint(t.data[t.pos:])
	if n <= 0 {
		t.fail()
		return 0
	}
	t.pos += n
	return v
}

// int reads an integer of any width.
func (t *thrift) int() int64 {
	v := t.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// bytes returns the next binary value, which shares the memory of the data.
func (t *thrift) bytes() []byte {
	n := t.uvarint()
	if n > uint64(len(t.data)-t.pos) {
		t.fail()
		return nil
	}
	t.pos += int(n)
	return t.data[t.pos-int(n) : t.pos]
}

// fields calls each for every field of a struct. It has to read the value, or to skip it; booleans
// have no value beside their kind.
func (t *thrift) fields(each func(id int, kind byte)) {
	id := 0
	for t.err == nil {
		head := t.byte()
		kind := head & 15
		if kind == 0 {
			return
		}
		if delta := int(head >> 4); delta != 0 {
			id += delta
		} else {
			id = int(int16(t.int()))
		}
		each(id, kind)
	}
}

// list calls each for every element of a list or set.
func (t *thrift) list(each func(kind byte)) {
	n, kind := t.listHead()
	for range n {
		if t.err != nil {
			return
		}
		each(kind)
	}
}

func (t *thrift) listHead() (n int, kind byte) {
	head := t.byte()
	size := uint64(head >> 4)
	if size == 15 {
		size = t.uvarint()
	}
	if size > uint64(len(t.data)-t.pos) {
		t.fail()
		return 0, 0
	}
	return int(size), head & 15
}

// skip reads a value that is not needed.
func (t *thrift) skip(kind byte, depth int) {
	if depth > maxThriftDepth {
		t.fail()
		return
	}
	switch kind {
	case thriftTrue, thriftFalse:
	case thriftByte:
		t.byte()
	case thriftI16, thriftI32, thriftI64:
		t.uvarint()
	case thriftDouble:
		for range 8 {
			t.byte()
		}
	case thriftBinary:
		t.bytes()
	case thriftList, thriftSet:
		t.list(func(kind byte) { t.skipElement(kind, depth+1) })
	case thriftMap:
		t.skipMap(depth)
	case thriftStruct:
		t.fields(func(_ int, kind byte) { t.skip(kind, depth+1) })
	default:
		t.fail()
	}
}

// skipElement skips an element of a list, where booleans have a byte of their own.
func (t *thrift) skipElement(kind byte, depth int) {
	if kind == thriftTrue || kind == thriftFalse {
		kind = thriftByte
	}
	t.skip(kind, depth)
}

func (t *thrift) skipMap(depth int) {
	n := t.uvarint()
	if n == 0 {
		return
	}
	kinds := t.byte()
	for ; n > 0 && t.err == nil; n-- {
		t.skipElement(kinds>>4, depth+1)
		t.skipElement(kinds&15, depth+1)
	}
}
