package parquet

import (
	"bytes"
	"fmt"
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"
	"github.com/pierrec/lz4/v4"
)

// A decompressor unpacks pages. None of its formats may give more than the page's header says.
type decompressor struct {
	zstd *zstd.Decoder
	gzip *gzip.Reader
}

// ratio is the most that a codec can make of one byte: a header that claims more is damaged, and
// nothing is allocated for it. Brotli has no bound worth the name.
func ratio(codec format.CompressionCodec) int64 {
	switch codec {
	case format.Snappy:
		return 32
	case format.Lz4Raw:
		return 256
	case format.Gzip:
		return 1100
	case format.Zstd:
		return 128 << 10
	}
	return 1 << 20
}

// supported reports whether pages of a codec can be read.
func supported(codec format.CompressionCodec) bool {
	switch codec {
	case format.Uncompressed, format.Snappy, format.Gzip, format.Brotli, format.Zstd, format.Lz4Raw:
		return true
	}
	return false
}

// unpack fills dst, whose length is what has to come out.
func (d *decompressor) unpack(dst, src []byte, codec format.CompressionCodec) error {
	n, err := d.decode(dst, src, codec)
	if err != nil {
		return fmt.Errorf("a page that is packed with %s is damaged: %w", codec, err)
	}
	if n != len(dst) {
		return fmt.Errorf("a page that is packed with %s has %d bytes, and its header says %d", codec, n, len(dst))
	}
	return nil
}

func (d *decompressor) decode(dst, src []byte, codec format.CompressionCodec) (int, error) {
	switch codec {
	case format.Snappy:
		size, err := snappy.DecodedLen(src)
		if err != nil || size != len(dst) {
			return size, err
		}
		_, err = snappy.Decode(dst, src)
		return size, err
	case format.Lz4Raw:
		return lz4.UncompressBlock(src, dst)
	case format.Brotli:
		return readAll(dst, brotli.NewReader(bytes.NewReader(src)))
	case format.Gzip:
		var err error
		if d.gzip == nil {
			d.gzip, err = gzip.NewReader(bytes.NewReader(src))
		} else {
			err = d.gzip.Reset(bytes.NewReader(src))
		}
		if err != nil {
			return 0, err
		}
		return readAll(dst, d.gzip)
	case format.Zstd:
		if d.zstd == nil {
			var err error
			if d.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true)); err != nil {
				return 0, err
			}
		}
		out, err := d.zstd.DecodeAll(src, dst[:0:len(dst)])
		return len(out), err
	}
	return copy(dst, src), nil
}

// readAll fills dst, and reports one byte more than its length if there is more to come.
func readAll(dst []byte, r io.Reader) (int, error) {
	n, err := io.ReadFull(r, dst)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return n, err
	}
	if n == len(dst) {
		more, _ := io.ReadFull(r, make([]byte, 1))
		n += more
	}
	return n, nil
}

func (d *decompressor) close() {
	if d.zstd != nil {
		d.zstd.Close()
		d.zstd = nil
	}
}
