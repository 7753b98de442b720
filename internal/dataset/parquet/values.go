package parquet

import (
	"encoding/binary"
	"fmt"

	"github.com/parquet-go/parquet-go/format"
)

// values prepares the values of a page for being taken one after the other.
func (c *column) values(encoding format.Encoding, data []byte) error {
	present := c.n
	if c.maxDef > 0 {
		present = 0
		for _, level := range c.defs {
			if int(level) == c.maxDef {
				present++
			}
		}
	}
	c.next, c.at, c.useDict, c.useDeltas, c.data = 0, 0, false, false, data
	switch encoding {
	case plainDictionary, format.RLEDictionary:
		return c.dictionaryIndexes(present, data)
	case format.Plain:
		return c.plainValues(present, data)
	case format.RLE:
		if c.kind != format.Boolean || len(data) < 4 {
			break
		}
		if err := c.room(present); err != nil {
			return err
		}
		return hybrid(c.fixedBuf, data[4:], 1)
	case format.DeltaBinaryPacked:
		return c.deltaIntegers(present, data)
	case format.DeltaLengthByteArray, format.DeltaByteArray:
		return c.deltaTexts(present, data, encoding == format.DeltaByteArray)
	case format.ByteStreamSplit:
		if c.kind == format.Boolean {
			break
		}
		if len(data) < present*c.width || c.width == 0 {
			return errPage
		}
		if err := c.room(present * c.width); err != nil {
			return err
		}
		joinStreams(c.fixedBuf, data, present, c.width)
		return nil
	}
	return fmt.Errorf("a page of type %s has the encoding %s, which is not read: %s", c.kind, encoding, rewriteAdvice())
}

// room makes a place for the values of a page that do not lie in it as they are.
func (c *column) room(size int) (err error) {
	c.fixedBuf, err = grow(c.memory, c.fixedBuf, size)
	c.data = c.fixedBuf
	return err
}

func (c *column) dictionaryIndexes(present int, data []byte) (err error) {
	if !c.haveDict {
		return fmt.Errorf("a page needs a dictionary that is not there")
	}
	c.useDict = true
	if c.indexes, err = grow(c.memory, c.indexes, present); err != nil {
		return err
	}
	if present == 0 {
		return nil
	}
	if len(data) == 0 {
		return errPage
	}
	if err := hybrid(c.indexes, data[1:], int(data[0])); err != nil {
		return err
	}
	for _, index := range c.indexes {
		if uint64(index) >= uint64(c.dict.count) {
			return fmt.Errorf("value %d of a dictionary of %d is wanted", index, c.dict.count)
		}
	}
	return nil
}

func (c *column) plainValues(present int, data []byte) error {
	switch {
	case c.kind == format.Boolean:
		if len(data) < (present+7)/8 {
			return errPage
		}
		if err := c.room(present); err != nil {
			return err
		}
		unpack(c.fixedBuf, data, 1)
	case c.width > 0 && len(data)/c.width < present:
		return errPage
	}
	return nil
}

func (c *column) deltaIntegers(present int, data []byte) error {
	if c.kind != format.Int32 && c.kind != format.Int64 {
		return fmt.Errorf("values of type %s are encoded as differences", c.kind)
	}
	if _, err := c.deltas(&c.lengths, present, data); err != nil {
		return err
	}
	if err := c.room(present * c.width); err != nil {
		return err
	}
	for i, v := range c.lengths {
		if c.width == 4 {
			binary.LittleEndian.PutUint32(c.fixedBuf[4*i:], uint32(v))
		} else {
			binary.LittleEndian.PutUint64(c.fixedBuf[8*i:], uint64(v))
		}
	}
	return nil
}

// deltas reads as many integers as there are values, and returns what follows them.
func (c *column) deltas(dst *[]int64, present int, data []byte) (rest []byte, err error) {
	if *dst, err = grow(c.memory, *dst, present); err != nil {
		return nil, err
	}
	return deltas(*dst, data)
}

// deltaTexts prepares texts whose lengths stand before them, and perhaps how much of each is the
// same as in the one before. They are put together one at a time, for a small page may have many
// long ones.
func (c *column) deltaTexts(present int, data []byte, shared bool) error {
	if c.kind != format.ByteArray && c.kind != format.FixedLenByteArray {
		return fmt.Errorf("values of type %s are encoded as texts", c.kind)
	}
	var err error
	c.prefixes, c.previous = c.prefixes[:0], append(c.previous[:0], "not nil"...)[:0]
	if shared {
		if data, err = c.deltas(&c.prefixes, present, data); err != nil {
			return err
		}
	}
	if data, err = c.deltas(&c.lengths, present, data); err != nil {
		return err
	}
	c.data, c.useDeltas = data, true
	return nil
}
