package dataset

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxWindow is how many bytes back a zstd stream may refer, and so how much memory reading it
// takes. It is the limit of the zstd program.
const maxWindow = 128 << 20

// A damageError is an error in compressed data, as opposed to an error of the file or stream that
// holds them.
type damageError struct {
	format string
	err    error
}

func (e *damageError) Error() string { return e.err.Error() }
func (e *damageError) Unwrap() error { return e.err }

// An unpacker decompresses a stream, and returns errors in its content as *damageError.
type unpacker struct {
	format string
	stream *stream
	out    io.Reader
	close  func()
}

// unpack recognizes a compressed stream by its first bytes and returns an unpacker for it, or nil
// if the stream is not compressed.
func unpack(packed *bufio.Reader) (*unpacker, error) {
	head, err := packed.Peek(4)
	if err != nil && err != io.EOF {
		return nil, err
	}
	u := &unpacker{stream: &stream{r: packed}, close: func() {}}
	switch {
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		u.format = "gzip"
		var z *gzip.Reader
		if z, err = gzip.NewReader(u.stream); err == nil {
			u.out = z
		}
	case isZstd(head):
		u.format = "zstd"
		var z *zstd.Decoder
		// Decoding in the caller's goroutine is fast enough, and leaves no other one to wait for.
		z, err = zstd.NewReader(u.stream, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
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

// isZstd reports whether the stream begins with a zstd frame, or with a skippable frame, which
// parallel compressors write first.
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
	case u.stream.err != nil:
		return u.stream.err
	case errors.Is(err, zstd.ErrWindowSizeExceeded) || errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return errors.New("the zstd data need more than 128 MiB of memory to unpack: compress the file again without --long")
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	return &damageError{format: u.format, err: err}
}

// A stream remembers an error of the stream itself, so that it is not taken for damaged data.
type stream struct {
	r   *bufio.Reader
	err error
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// ReadByte lets gzip read without another buffer.
func (s *stream) ReadByte() (byte, error) {
	b, err := s.r.ReadByte()
	if err != nil && err != io.EOF {
		s.err = err
	}
	return b, err
}
