//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"gleaner/internal/outage"
)

// A database is a MongoDB-compatible server that belongs to this process, which may kill it. The
// project's script runs it.
type database struct {
	script string
	dir    string
	port   int
	lock   *flock.Flock // held: the port is ours

	mu   sync.Mutex // it is being killed or started
	held int        // faults that keep it down for now
}

// firstDatabasePort is where the search for a free port begins. The data of each port stay on the
// disk for the next time, so the port is not a random one.
const firstDatabasePort = 28117

// startDatabase starts a server, on the first ports that are free.
func startDatabase(ctx context.Context, root string) (*database, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("the folder for the database: %w", err)
	}
	d := &database{script: filepath.Join(root, ".ci", "mongo.sh"), dir: filepath.Join(cache, "gleaner", "mongo")}
	if err := d.reserve(); err != nil {
		return nil, err
	}
	if err := d.start(ctx); err != nil {
		return nil, errors.Join(err, d.lock.Close())
	}
	return d, nil
}

// reserve locks and chooses the first port that is free and that no other process runs chaos on.
func (d *database) reserve() error {
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return fmt.Errorf("the folder for the database: %w", err)
	}
	for d.port = firstDatabasePort; d.port < firstDatabasePort+100; d.port++ {
		lock := flock.New(filepath.Join(d.dir, fmt.Sprintf("chaos-%d.lock", d.port)))
		locked, err := lock.TryLock()
		if err != nil {
			return fmt.Errorf("the lock of the database's port: %w", err)
		}
		if locked && free(d.port) && free(d.port+10_000) {
			d.lock = lock
			return nil
		}
		_ = lock.Close() // releases it
	}
	return fmt.Errorf("no port of %d to %d is free for a database", firstDatabasePort, d.port-1)
}

func free(port int) bool {
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	_ = listener.Close()
	return true
}

func (d *database) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(d.port)) }

// run runs the script and returns what it printed.
func (d *database) run(ctx context.Context, command ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "bash", append(append([]string{d.script}, command...), d.dir, strconv.Itoa(d.port))...)
	cmd.Env = append(os.Environ(), "GLEANER_MONGO_DURABLE=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", d.script, strings.Join(command, " "), err, said.String())
	}
	return string(out), nil
}

// start starts the server, or those of its processes that do not run.
func (d *database) start(ctx context.Context) error {
	_, err := d.run(ctx)
	for try := 0; err != nil && try < 3 && ctx.Err() == nil; try++ { // processes of the killed server may still be ending
		_ = outage.Sleep(ctx, time.Second)
		_, err = d.run(ctx)
	}
	return err
}

// down kills the server and keeps it down until up was called as often as down: faults may overlap.
func (d *database) down(ctx context.Context) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.held++
	d.signal(ctx, syscall.SIGKILL)
}

func (d *database) up(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.held--; d.held > 0 {
		return nil
	}
	return d.start(ctx)
}

func (d *database) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	d.signal(ctx, syscall.SIGCONT)
	_, err := d.run(ctx, "stop")
	return errors.Join(err, d.lock.Close())
}

// signal sends a signal to all processes of the server.
func (d *database) signal(ctx context.Context, s syscall.Signal) {
	pids, err := d.run(ctx, "pids")
	if err != nil {
		return // there are none
	}
	for _, field := range strings.Fields(pids) {
		if pid, err := strconv.Atoi(field); err == nil && pid > 1 {
			_ = syscall.Kill(pid, s) // it may have ended this moment
		}
	}
}
