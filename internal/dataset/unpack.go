package dataset

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxWindow is how far back a zstd stream may refer, which is what memory it costs: the limit of
// the zstd program.
const maxWindow = 128 << 20

// A damageError is an error in compressed data, as opposed to one of the file or stream that they
// come from.
type damageError struct {
	format string
	err    error
}

func (e *damageError) Error() string { return e.err.Error() }
func (e *damageError) Unwrap() error { return e.err }

// An unpacker unpacks a compressed stream and marks the errors that are due to its content.
type unpacker struct {
	format string
	source *source
	out    io.Reader
	close  func()
}

// unpack returns what unpacks the stream, by its first bytes, or nil if it is not compressed.
func unpack(packed *bufio.Reader) (*unpacker, error) {
	head, err := packed.Peek(4)
	if err != nil && err != io.EOF {
		return nil, err
	}
	u := &unpacker{source: &source{r: packed}, close: func() {}}
	switch {
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		u.format = "gzip"
		var z *gzip.Reader
		if z, err = gzip.NewReader(u.source); err == nil {
			u.out = z
		}
	case isZstd(head):
		u.format = "zstd"
		var z *zstd.Decoder
		// One goroutine is fast enough, and none that has to be waited for.
		z, err = zstd.NewReader(u.source, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err == nil {
			u.out, u.close = z, z.Close
		}
	default:
		return nil, nil
	}
	if err != nil {
		return nil, u.mark(err)
	}
	return u, nil
}

// isZstd reports whether the stream begins with a zstd frame, or with a skippable one, as
// parallel compressors write.
func isZstd(head []byte) bool {
	return bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")) ||
		len(head) == 4 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:], []byte("\x2a\x4d\x18"))
}

func (u *unpacker) Read(p []byte) (int, error) {
	n, err := u.out.Read(p)
	return n, u.mark(err)
}

func (u *unpacker) mark(err error) error {
	switch {
	case err == nil || err == io.EOF && u.out != nil:
		return err
	case u.source.err != nil:
		return u.source.err
	case errors.Is(err, zstd.ErrWindowSizeExceeded) || errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return errors.New("the zstd data need more than 128 MiB of memory to unpack: compress the file again without --long")
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	return &damageError{format: u.format, err: err}
}

// A source remembers an error of the stream itself, so that it is not taken for damaged data.
type source struct {
	r   *bufio.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// ReadByte lets gzip read without another buffer.
func (s *source) ReadByte() (byte, error) {
	b, err := s.r.ReadByte()
	if err != nil && err != io.EOF {
		s.err = err
	}
	return b, err
}
