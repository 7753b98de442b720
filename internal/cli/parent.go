package cli

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// parentVariable is set by a program that starts this one and keeps its standard input open, as
// the Python package does.
const parentVariable = "GLEANER_ENDS_WITH_STDIN"

// withParent returns a context that also ends when the program that started this one is gone, if
// that is asked for: nothing else tells of a kernel that was killed. What this program then writes
// to pipes that nothing reads does not end it, so that it ends in order.
func withParent(ctx context.Context, in io.Reader) context.Context {
	if os.Getenv(parentVariable) == "" {
		return ctx
	}
	_ = os.Unsetenv(parentVariable) // which is not meant for the programs that this one starts
	signal.Ignore(syscall.SIGPIPE)
	ctx, gone := context.WithCancel(ctx)
	go func() {
		defer gone()
		_, _ = io.Copy(io.Discard, in)
	}()
	return ctx
}
