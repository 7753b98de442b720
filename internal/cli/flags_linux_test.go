package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestATemplateFileIsReadWithinLimits(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := (SpecFlags{PromptFile: []string{"/dev/zero"}}).Spec(ctx); err == nil || !strings.Contains(err.Error(), "is it a template?") {
		t.Errorf("an endless file: %v", err)
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := (SpecFlags{PromptFile: []string{pipe}}).Spec(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a pipe to which nothing is written: %v", err)
	}
	// The goroutine that waits for it ends, too, once the pipe is opened.
	if file, err := os.OpenFile(pipe, os.O_RDWR, 0); err == nil {
		_ = file.Close()
	}
}
