package dataset

import (
	"context"
	"io"
)

// An interruptible reads a pipe until a context ends, also while nothing comes through the pipe.
type interruptible struct {
	ctx    context.Context // nil: it never ends
	in     io.Reader
	buffer []byte
}

// An arrival is what a read returned.
type arrival struct {
	n   int
	err error
}

// Read reads what comes next. When the context ends it returns the context's error, and leaves
// behind a goroutine that waits for the pipe.
func (r *interruptible) Read(p []byte) (int, error) {
	if r.ctx == nil {
		return r.in.Read(p)
	}
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	if len(r.buffer) < len(p) {
		r.buffer = make([]byte, len(p))
	}
	buffer, came := r.buffer[:len(p)], make(chan arrival, 1)
	go func() {
		n, err := r.in.Read(buffer)
		came <- arrival{n, err}
	}()
	select {
	case got := <-came:
		return copy(p, buffer[:got.n]), got.err
	case <-r.ctx.Done():
		return 0, r.ctx.Err()
	}
}
