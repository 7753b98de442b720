package parquet

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

var errPage = errors.New("a page has less data than its header says")

// hybrid fills dst from runs of equal values and of bit-packed ones, which is how levels, indexes
// into a dictionary and some booleans are written. A run that is longer than dst is cut off there.
func hybrid[T byte | uint32](dst []T, src []byte, width int) error {
	if width < 0 || width > 32 {
		return errPage
	}
	pos := 0
	for filled := 0; filled < len(dst); {
		head, n := binary.Uvarint(src[pos:])
		if n <= 0 {
			return errPage
		}
		pos += n
		room := uint64(len(dst) - filled)
		if head&1 == 0 { // equal values
			size := (width + 7) / 8
			if head>>1 == 0 || len(src)-pos < size {
				return errPage
			}
			var value uint32
			for i := range size {
				value |= uint32(src[pos+i]) << (8 * i)
			}
			pos += size
			count := int(min(head>>1, room))
			fill(dst[filled:filled+count], T(value))
			filled += count
			continue
		}
		groups := head >> 1
		if groups == 0 {
			return errPage
		}
		count := int(min(groups, (room+7)/8) * 8)
		length := count / 8 * width
		run := dst[filled : filled+min(count, int(room))]
		if len(src)-pos < (len(run)*width+7)/8 { // the padding after the last value may be missing
			return errPage
		}
		unpack(run, src[pos:], width)
		pos = min(pos+length, len(src))
		filled += len(run)
	}
	return nil
}

func fill[T any](dst []T, value T) {
	for i := range dst {
		dst[i] = value
	}
}

// unpack reads values of a number of bits, the lowest first. The caller saw that src has enough.
func unpack[T byte | uint32 | uint64](dst []T, src []byte, width int) {
	if width == 0 {
		fill(dst, 0)
		return
	}
	mask := uint64(1)<<width - 1 // for 64 bits it is all ones
	if width == 64 {
		mask = ^uint64(0)
	}
	bit := 0
	for i := range dst {
		at, shift := bit>>3, bit&7
		var v uint64
		if at+9 <= len(src) {
			v = binary.LittleEndian.Uint64(src[at:]) >> shift
			if shift+width > 64 {
				v |= uint64(src[at+8]) << (64 - shift)
			}
		} else {
			for k := 0; k < (shift+width+7)/8; k++ {
				if k < 8 {
					v |= uint64(src[at+k]) << (8 * k)
				}
			}
			v >>= shift
			if shift+width > 64 {
				v |= uint64(src[at+8]) << (64 - shift)
			}
		}
		dst[i] = T(v & mask)
		bit += width
	}
}

// deltas decodes the encoding DELTA_BINARY_PACKED: it fills dst, and returns what follows in src.
func deltas(dst []int64, src []byte) ([]byte, error) {
	var head [4]uint64 // size of a block, parts of a block, number of values, first value
	for i := range head {
		v, n := binary.Uvarint(src)
		if n <= 0 {
			return nil, errPage
		}
		head[i], src = v, src[n:]
	}
	block, parts, total := head[0], head[1], head[2]
	if total != uint64(len(dst)) || block == 0 || block%128 != 0 || block > 1<<20 || parts == 0 || parts > block || block%parts != 0 || block/parts%8 != 0 {
		return nil, errPage
	}
	if total == 0 {
		return src, nil
	}
	value := unzigzag(head[3])
	dst[0] = value
	dst = dst[1:]
	packed := make([]uint64, block/parts)
	for len(dst) > 0 {
		low, n := binary.Uvarint(src)
		if n <= 0 || uint64(len(src)-n) < parts {
			return nil, errPage
		}
		widths := src[n : n+int(parts)]
		src = src[n+int(parts):]
		for _, width := range widths {
			if len(dst) == 0 {
				break // the rest of a last block has widths and no data
			}
			size := len(packed) * int(width) / 8
			count := min(len(dst), len(packed))
			if width > 64 || len(src) < (count*int(width)+7)/8 {
				return nil, errPage
			}
			unpack(packed[:count], src, int(width))
			for i, delta := range packed[:count] {
				value += unzigzag(low) + int64(delta)
				dst[i] = value
			}
			dst = dst[count:]
			src = src[min(size, len(src)):]
		}
	}
	return src, nil
}

func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

// joinStreams undoes the encoding BYTE_STREAM_SPLIT: count values of a width, whose first bytes
// stand together, then their second bytes, and so on.
func joinStreams(dst, src []byte, count, width int) {
	for b := range width {
		for i, v := range src[b*count : (b+1)*count] {
			dst[i*width+b] = v
		}
	}
}

// levelBits is how many bits a level needs.
func levelBits(most int) int { return bits.Len(uint(most)) }
