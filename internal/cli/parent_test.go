package cli

import (
	"io"
	"os"
	"os/signal"
	"syscall"
	"testing"
)

func TestAProgramEndsWithTheOneThatStartedIt(t *testing.T) {
	t.Cleanup(func() { signal.Reset(syscall.SIGPIPE) })
	in, starter := io.Pipe()
	t.Setenv(parentVariable, "")
	if ctx := withParent(t.Context(), in); ctx != t.Context() {
		t.Error("without the variable the standard input is taken")
	}
	t.Setenv(parentVariable, "1")
	ctx := withParent(t.Context(), in)
	if ctx.Err() != nil || os.Getenv(parentVariable) != "" {
		t.Errorf("while the other runs the context has ended with %v, and programs that are started get the variable %q", ctx.Err(), os.Getenv(parentVariable))
	}
	if err := starter.Close(); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
}
