package serve

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"gleaner/internal/gpu"
	"gleaner/internal/ollama"
)

// A Reservation is a GPU that this process alone may run a server on, among all consumers of this
// user.
type Reservation struct {
	GPU     gpu.Device
	Orphans int // processes that an earlier consumer had left on it, which were ended

	cfg  Config
	lock *flock.Flock
	bin  string
}

// Reserve reserves a GPU and ends what an earlier consumer left on it. It fails if another consumer
// has it. The caller ends the reservation with Release.
func Reserve(cfg Config, device gpu.Device) (*Reservation, error) {
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
	r := &Reservation{GPU: device, cfg: cfg, bin: bin}
	if r.lock, err = lockFile(r.marker()); err != nil {
		return nil, fmt.Errorf("%s: %w", device, err)
	}
	if r.Orphans, err = endMarked(r.marker(), cfg.Grace); err != nil {
		_ = r.lock.Unlock()
		return nil, fmt.Errorf("%s: ending what an earlier consumer left there: %w", device, err)
	}
	if _, err := os.Stat(r.LogPath()); err == nil {
		_ = os.Rename(r.LogPath(), r.LogPath()+".old") // one is kept, to show how the last server ended
	}
	return r, nil
}

// lockFile locks a file, without waiting. The lock ends with this process, also if that is killed.
// Processes that this one starts do not inherit it.
func lockFile(path string) (*flock.Flock, error) {
	lock := flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o644))
	locked, err := lock.TryLock()
	switch {
	case err != nil:
		return nil, fmt.Errorf("locking %s: %w", path, err)
	case !locked:
		holder, _ := os.ReadFile(path)
		return nil, fmt.Errorf("another consumer uses it (%s): end that one, or choose other GPUs with --gpus", strings.TrimSpace(string(holder)))
	}
	return lock, nil
}

// Release ends what is left on the GPU, and the reservation.
func (r *Reservation) Release() error {
	_, err := endMarked(r.marker(), 0)
	if unlocked := r.lock.Unlock(); err == nil {
		err = unlocked
	}
	return err
}

// marker tells this GPU's processes from all others: it is the path of the file that is locked for
// the GPU.
func (r *Reservation) marker() string {
	return filepath.Join(r.cfg.State, fileName(r.GPU)+".lock")
}

// LogPath returns the file that the servers on this GPU write their log to.
func (r *Reservation) LogPath() string {
	return filepath.Join(r.cfg.State, fileName(r.GPU)+".log")
}

// SetContext sets the context of the servers that are launched from now on.
func (r *Reservation) SetContext(tokens int) { r.cfg.Context = tokens }

// Launch starts a server with this many slots. It does not wait until the server answers. What an
// earlier server on this GPU has left behind is ended first.
func (r *Reservation) Launch(ctx context.Context, slots int) (*Server, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if _, err := endMarked(r.marker(), 0); err != nil {
		return nil, fmt.Errorf("%s: ending the server before: %w", r.GPU, err)
	}
	host, err := freePort()
	if err != nil {
		return nil, fmt.Errorf("%s: looking for a free port: %w", r.GPU, err)
	}
	settings := r.cfg.Client
	settings.Slots = slots
	client, err := ollama.New("http://"+host, settings)
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(r.LogPath(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("%s: the server's log: %w", r.GPU, err)
	}
	defer log.Close() // the server has its own
	logStart, err := log.Seek(0, 2)
	if err != nil {
		return nil, fmt.Errorf("%s: the server's log: %w", r.GPU, err)
	}
	cmd := exec.Command(r.bin, "serve")
	cmd.Env = r.cfg.environment(r.GPU, r.marker(), host, slots)
	cmd.Dir = r.cfg.State
	cmd.Stdout, cmd.Stderr = log, log
	server := &Server{Client: client, reservation: r, cmd: cmd, logStart: logStart, exited: make(chan struct{})}
	if err := server.start(); err != nil {
		return nil, fmt.Errorf("%s: starting %s: %w", r.GPU, r.bin, err)
	}
	r.writeHolder(fmt.Sprintf("held by consumer %d, whose server %d (%s serve) is on %s since %s\n",
		os.Getpid(), cmd.Process.Pid, r.bin, client.URL(), time.Now().UTC().Format(time.RFC3339)))
	return server, nil
}

// writeHolder writes into the locked file which process holds it. That is for people, so it may
// fail: what counts is the lock and the marker.
func (r *Reservation) writeHolder(text string) { _ = os.WriteFile(r.marker(), []byte(text), 0o644) }

// freePort returns an address of this machine that no process listens on.
func freePort() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}
