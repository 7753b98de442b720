package serve

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"gleaner/internal/ollama"
)

// A Seat is a GPU that belongs to this process: no other consumer of this user runs a server on it.
type Seat struct {
	GPU     GPU
	Orphans int // processes that a consumer before this one had left on it, which were ended

	cfg  Config
	lock *os.File
	bin  string
}

// Claim takes a GPU for this process and ends what an earlier one left there. It fails if another
// one has it.
func Claim(cfg Config, gpu GPU) (*Seat, error) {
	if err := supported(); err != nil {
		return nil, err
	}
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	bin, err := exec.LookPath(cfg.Bin)
	if err != nil {
		return nil, fmt.Errorf("the ollama program: %w: install Ollama, or say where it is with --ollama-bin", err)
	}
	if bin, err = filepath.Abs(bin); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.State, 0o755); err != nil {
		return nil, fmt.Errorf("the folder for the servers' logs: %w", err)
	}
	s := &Seat{GPU: gpu, cfg: cfg, bin: bin}
	if s.lock, err = lockFile(s.mark()); err != nil {
		return nil, fmt.Errorf("%s: %w", gpu, err)
	}
	if s.Orphans, err = sweep(s.mark(), cfg.Grace); err != nil {
		_ = s.lock.Close()
		return nil, fmt.Errorf("%s: ending what an earlier consumer left there: %w", gpu, err)
	}
	if _, err := os.Stat(s.LogPath()); err == nil {
		_ = os.Rename(s.LogPath(), s.LogPath()+".old") // one is kept, for whoever wonders how the last one ended
	}
	return s, nil
}

// Release ends whatever is left on the GPU and gives it free.
func (s *Seat) Release() error {
	_, err := sweep(s.mark(), 0)
	if closed := s.lock.Close(); err == nil {
		err = closed
	}
	return err
}

// mark is what tells this seat's processes from all others: the path of the file that is locked
// for it.
func (s *Seat) mark() string { return filepath.Join(s.cfg.State, fileName(s.GPU)+".lock") }

// LogPath returns where its servers write their log.
func (s *Seat) LogPath() string { return filepath.Join(s.cfg.State, fileName(s.GPU)+".log") }

// Launch starts a server with so many slots. It does not wait until it answers. Whatever an
// earlier one on this seat left behind is ended first.
func (s *Seat) Launch(ctx context.Context, slots int) (*Server, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if _, err := sweep(s.mark(), 0); err != nil {
		return nil, fmt.Errorf("%s: ending the server before: %w", s.GPU, err)
	}
	host, err := freePort()
	if err != nil {
		return nil, fmt.Errorf("%s: looking for a free port: %w", s.GPU, err)
	}
	settings := s.cfg.Client
	settings.Slots = slots
	client, err := ollama.New("http://"+host, settings)
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(s.LogPath(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("%s: the server's log: %w", s.GPU, err)
	}
	defer log.Close() // the server has its own
	began, err := log.Seek(0, 2)
	if err != nil {
		return nil, fmt.Errorf("%s: the server's log: %w", s.GPU, err)
	}
	cmd := exec.Command(s.bin, "serve")
	cmd.Env = s.cfg.environment(s.GPU, s.mark(), host, slots)
	cmd.Dir = s.cfg.State
	cmd.Stdout, cmd.Stderr = log, log
	server := &Server{Client: client, seat: s, cmd: cmd, logBegan: began, exited: make(chan struct{})}
	if err := server.start(); err != nil {
		return nil, fmt.Errorf("%s: starting %s: %w", s.GPU, s.bin, err)
	}
	s.note(fmt.Sprintf("held by consumer %d, whose server %d (%s serve) is on %s since %s\n",
		os.Getpid(), cmd.Process.Pid, s.bin, client.URL(), time.Now().UTC().Format(time.RFC3339)))
	return server, nil
}

// note writes into the locked file who has it. That is for people: what counts is the lock and
// the mark.
func (s *Seat) note(text string) {
	if s.lock.Truncate(0) == nil {
		_, _ = s.lock.WriteAt([]byte(text), 0)
	}
}

// freePort returns an address of this machine on which nobody listens.
func freePort() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}
