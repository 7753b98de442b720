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
	"gleaner/internal/text"
)

// readyWithin is how long a server may take to answer for the first time. It searches for GPUs
// before, which alone may take half a minute.
const readyWithin = 90 * time.Second

// A Server is one process of Ollama that this process started, and the client to it.
type Server struct {
	*ollama.Client

	reservation *Reservation
	cmd         *exec.Cmd
	logStart    int64         // where in the log this server's part begins
	exited      chan struct{} // closed when the process has exited
	err         error         // of its exit; set before exited is closed
}

// start starts the process. A goroutine waits for its exit, and ends with it.
func (s *Server) start() error {
	setProcessGroup(s.cmd)
	started := make(chan error)
	go func() {
		// The signal that the server gets when its parent dies is in fact sent when the thread that
		// started it dies. So this goroutine keeps its thread until the server is gone.
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

// Pid returns the id of the server's process.
func (s *Server) Pid() int { return s.cmd.Process.Pid }

// Exited returns a channel that is closed when the process has exited.
func (s *Server) Exited() <-chan struct{} { return s.exited }

// WaitReady waits until the server answers for the first time. It fails if the process exits
// instead, or takes too long.
func (s *Server) WaitReady(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := s.Ping(limited)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-s.exited:
			return s.ExitError()
		case <-limited.Done():
			if ctx.Err() != nil {
				return &pipeline.Failure{Class: pipeline.Interrupted, Err: context.Cause(ctx)}
			}
			return fmt.Errorf("%s: the server did not answer within %s: %w", s.reservation.GPU, readyWithin, err)
		}
	}
}

// ExitError tells how the process exited. It may be called once Exited is closed.
func (s *Server) ExitError() error {
	how := "with exit code 0"
	if s.err != nil {
		how = s.err.Error()
	}
	return fmt.Errorf("%s: the server ended by itself: %s", s.reservation.GPU, how)
}

// FetchModel gets the model if the server does not have it: it is created from the file of the
// Config, or pulled. It reports whether that was necessary. Progress is called often.
func (s *Server) FetchModel(ctx context.Context, model string, progress func(status string, done, total int64)) (bool, error) {
	_, err := s.Describe(ctx, model)
	switch {
	case err == nil || !errors.Is(err, ollama.ErrNoModel):
		return false, err
	case s.reservation.cfg.ModelFile != "":
		return true, s.Create(ctx, model, s.reservation.cfg.ModelFile, progress)
	}
	return true, s.Pull(ctx, model, progress)
}

// Stop ends the server and its runners, and returns when none of them is left. The server gets
// SIGTERM, and after the grace its whole group is killed: a server that is killed alone would leave
// its runner behind.
func (s *Server) Stop() error {
	s.Close()
	select {
	case <-s.exited:
	default:
		// A process that was stopped has to go on before it notices the signal.
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		resumeGroup(s.cmd.Process.Pid)
		grace := time.NewTimer(s.reservation.cfg.Grace)
		defer grace.Stop()
		select {
		case <-s.exited:
		case <-grace.C:
			killGroup(s.cmd.Process.Pid)
			<-s.exited
		}
	}
	_, err := endMarked(s.reservation.marker(), 0)
	return err
}

const (
	tailBytes = 256 << 10 // of the log, most of which are lines about single requests
	tailLines = 12        // of the others
	lineBytes = 300
)

// Log returns the last lines that the server wrote, without those about single requests.
func (s *Server) Log() []string {
	file, err := os.Open(s.reservation.LogPath())
	if err != nil {
		return nil
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil
	}
	from := max(s.logStart, info.Size()-tailBytes)
	data, err := io.ReadAll(io.NewSectionReader(file, from, tailBytes))
	if err != nil {
		return nil
	}
	var lines []string
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "[GIN]") { // gin logs each request
			lines = append(lines, text.Shorten(line, lineBytes))
		}
	}
	return lines[max(0, len(lines)-tailLines):]
}
