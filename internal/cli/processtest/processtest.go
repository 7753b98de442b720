// Package processtest runs programs as processes, for tests that look at them from outside.
package processtest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Build builds the producer, the consumer, the sink and gleaner into a folder. What is compiled is
// shared with a release.
func Build(dir string) error {
	build := exec.Command("go", "build", "-trimpath", "-o", dir+string(filepath.Separator), "gleaner/producer", "gleaner/consumer", "gleaner/sink", "gleaner/deploy/gleaner")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the programs: %w\n%s", err, said)
	}
	return nil
}

// Refuses returns what a program finds wrong with a command line, or nothing. With --help it parses
// all that stands there, every flag and its value, and does nothing else.
func Refuses(t testing.TB, program string, args []string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, append(slices.Clone(args), "--help")...)
	cmd.Env = []string{"MONGODB_URI=sqlite:nothing.db"}
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		return err.Error() + ": " + said.String()
	}
	return ""
}

// A Process is a program that runs.
type Process struct {
	Cmd *exec.Cmd
	Out bytes.Buffer // standard output; read it when the process has ended

	t    testing.TB
	mu   sync.Mutex
	errs bytes.Buffer  // standard error
	news chan struct{} // there is more in errs
}

// Start starts a program. It is killed at the end of the test if it still runs.
func Start(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{Cmd: cmd, t: t, news: make(chan struct{}, 1)}
	cmd.Stdout, cmd.Stderr = &p.Out, p
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return p
}

// Write takes standard error.
func (p *Process) Write(data []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case p.news <- struct{}{}:
	default:
	}
	return p.errs.Write(data)
}

// Said returns what the process has written to standard error.
func (p *Process) Said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.errs.String()
}

// WaitFor returns when the process has said something on standard error.
func (p *Process) WaitFor(text string) {
	p.t.Helper()
	limit := time.After(2 * time.Minute)
	for !strings.Contains(p.Said(), text) {
		select {
		case <-p.news:
		case <-limit:
			p.t.Fatalf("%s did not say %q but:\n%s", p.Cmd.Args, text, p.Said())
		}
	}
}

// Wait waits for the process to end, and returns its exit code; -1 if a signal ended it.
func (p *Process) Wait() int {
	p.t.Helper()
	limit := time.AfterFunc(3*time.Minute, func() { _ = p.Cmd.Process.Kill() })
	defer limit.Stop()
	_ = p.Cmd.Wait() // the state says how it ended
	return p.Cmd.ProcessState.ExitCode()
}

// Ends waits for the process to end with this exit code, and returns what it printed.
func (p *Process) Ends(code int) string {
	p.t.Helper()
	if got := p.Wait(); got != code {
		p.t.Fatalf("%s ended with %d, want %d:\n%s", p.Cmd.Args, got, code, p.Said())
	}
	return p.Out.String()
}

// Stops ends the process as the end of its container does.
func (p *Process) Stops() {
	p.t.Helper()
	_ = p.Cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	p.Ends(0)
}
