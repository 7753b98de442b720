package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"gleaner/internal/ollama"
	"gleaner/internal/pipeline"
)

// answerWithin is how long a server may take to answer for the first time. It looks for GPUs
// before, which may take half a minute by itself.
const answerWithin = 90 * time.Second

// A Server is one process of Ollama that this one started, and the client to it.
type Server struct {
	*ollama.Client

	seat     *Seat
	cmd      *exec.Cmd
	logBegan int64 // where in the log this server's part begins
	exited   chan struct{}
	err      error // how it exited; set before exited is closed
}

// start starts the process and waits for it in a goroutine that ends with it.
func (s *Server) start() error {
	ownGroup(s.cmd)
	started := make(chan error)
	go func() {
		// The signal that the server gets when its parent dies comes, in truth, when the thread
		// dies that started it. So this goroutine keeps its thread until the server is gone, and
		// the thread ends with it.
		runtime.LockOSThread()
		err := s.cmd.Start()
		started <- err
		if err == nil {
			s.err = s.cmd.Wait()
			close(s.exited)
		}
	}()
	return <-started
}

// Pid returns the process of the server.
func (s *Server) Pid() int { return s.cmd.Process.Pid }

// Exited is closed when the process has ended.
func (s *Server) Exited() <-chan struct{} { return s.exited }

// WaitReady waits until the server answers for the first time. It fails if the process ends instead, or takes too long.
func (s *Server) WaitReady(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		err := s.Ping(limited)
		if err == nil {
			return nil
		}
		select {
		case <-again.C:
		case <-s.exited:
			return s.ExitError()
		case <-limited.Done():
			if ctx.Err() != nil {
				return &pipeline.Failure{Class: pipeline.Interrupted, Err: context.Cause(ctx)}
			}
			return fmt.Errorf("%s: the server did not answer within %s: %w", s.seat.GPU, answerWithin, err)
		}
	}
}

// ExitError tells how the process ended. It has to have ended.
func (s *Server) ExitError() error {
	how := "with exit code 0"
	if s.err != nil {
		how = s.err.Error()
	}
	return fmt.Errorf("%s: the server ended by itself: %s", s.seat.GPU, how)
}

// FetchModel gets the model if the server does not have it: it is created from the file of the
// Config, or pulled. It reports whether that was necessary. Progress is called often.
func (s *Server) FetchModel(ctx context.Context, model string, progress func(status string, done, total int64)) (bool, error) {
	_, err := s.Describe(ctx, model)
	switch {
	case err == nil || !errors.Is(err, ollama.ErrNoModel):
		return false, err
	case s.seat.cfg.ModelFile != "":
		return true, s.Create(ctx, model, s.seat.cfg.ModelFile, progress)
	}
	return true, s.Pull(ctx, model, progress)
}

// Stop ends the server and its runners, and returns when none of them is left: first it asks, and
// after the grace it kills them. A server that is killed would leave its runner behind, so the
// whole group is.
func (s *Server) Stop() error {
	s.Close()
	select {
	case <-s.exited:
	default:
		// A stopped process hears nothing before it goes on.
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		wake(s.cmd.Process.Pid)
		grace := time.NewTimer(s.seat.cfg.Grace)
		defer grace.Stop()
		select {
		case <-s.exited:
		case <-grace.C:
			killGroup(s.cmd.Process.Pid)
			<-s.exited
		}
	}
	_, err := sweep(s.seat.mark(), 0)
	return err
}

const (
	tailBytes = 256 << 10 // of the log, which are looked at; lines about requests fill most of it
	tailLines = 12        // of them that are shown
	lineBytes = 300
)

// Log returns the last lines that the server wrote, without those about single requests.
func (s *Server) Log() []string {
	file, err := os.Open(s.seat.LogPath())
	if err != nil {
		return nil
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil
	}
	from := max(s.logBegan, info.Size()-tailBytes)
	data, err := io.ReadAll(io.NewSectionReader(file, from, tailBytes))
	if err != nil {
		return nil
	}
	var lines []string
	for line := range strings.Lines(string(data)) {
		line = strings.ToValidUTF8(strings.TrimSpace(line), "\uFFFD")
		if line != "" && !strings.HasPrefix(line, "[GIN]") {
			lines = append(lines, line[:min(len(line), lineBytes)])
		}
	}
	return lines[max(0, len(lines)-tailLines):]
}
