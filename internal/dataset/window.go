package dataset

import (
	"bytes"
	"errors"
	"io"

	"gleaner/internal/pipeline"
)

const (
	bufferSize = 256 << 10 // of a writer
	// firstWindow is larger than nearly every row, so that rows are checked where they were read.
	firstWindow = 256 << 10
	// lastWindow is how long a row may be with the space between its tokens, or the quotes of a
	// table, which are not part of it later.
	lastWindow = 2 * pipeline.MaxRowBytes
)

// A window is the part of a stream that is in memory. It grows up to its limit while a row does not
// fit into it.
type window struct {
	in   io.Reader
	buf  []byte
	at   int   // of the first byte that was not consumed
	end  int   // of what was read
	gone int64 // bytes that were consumed before the buffer
	err  error // why nothing is read any more: io.EOF, or what went wrong
}

func newWindow(in io.Reader) *window { return &window{in: in, buf: make([]byte, firstWindow)} }

// data returns what was read and not consumed. It is valid until more is called.
func (w *window) data() []byte { return w.buf[w.at:w.end] }

// position returns how many bytes of the text were consumed.
func (w *window) position() int64 { return w.gone + int64(w.at) }

// more reads more behind the data. It returns false if there is no more, or no room. It reads about
// as much as there is already, so that a scan that begins again each time stays linear.
func (w *window) more() bool {
	have := w.end - w.at
	if w.err != nil || have >= lastWindow {
		return false
	}
	if have > len(w.buf)/2 {
		larger := make([]byte, min(2*len(w.buf), 2*lastWindow))
		copy(larger, w.data())
		w.buf = larger
	} else {
		copy(w.buf, w.data())
	}
	w.gone += int64(w.at)
	w.at, w.end = 0, have
	for none := 0; w.err == nil && (w.end == have || w.end < 2*have) && w.end < len(w.buf); {
		n, err := w.in.Read(w.buf[w.end:])
		w.end += n
		w.err = err
		if none++; n > 0 {
			none = 0
		}
		if none > 100 {
			w.err = io.ErrNoProgress
		}
	}
	return w.end > have
}

// full reports whether more cannot add anything because a row is too long.
func (w *window) full() bool { return w.end-w.at >= lastWindow }

// line returns the rest of the current line without its end, and whether all of it is here. It
// consumes nothing.
func (w *window) line() (line []byte, whole bool) {
	from := 0
	for {
		data := w.data()
		if i := bytes.IndexByte(data[from:], '\n'); i >= 0 {
			return data[:from+i], true
		}
		from = len(data)
		if !w.more() {
			return w.data(), w.err != nil
		}
	}
}

// skipLine consumes the rest of the current line, without its end, however long it is.
func (w *window) skipLine() {
	for {
		if i := bytes.IndexByte(w.data(), '\n'); i >= 0 {
			w.at += i
			return
		}
		w.at = w.end
		if !w.more() {
			return
		}
	}
}

// failure returns why reading ended, or nil at the end of the stream.
func (w *window) failure() error {
	if w.err == nil || errors.Is(w.err, io.EOF) {
		return nil
	}
	return w.err
}
