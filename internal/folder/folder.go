// Package folder is the folder in which gleaner run keeps a store and a queue: where the store is,
// and how another command reaches the queue, while run works there and after.
package folder

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"gleaner/internal/advice"
	"gleaner/internal/natsd"
	"gleaner/internal/outage"
	"gleaner/internal/stream"
)

// Default is the folder where none is named.
const Default = "gleaner-data"

// Store returns the address of the store in a folder.
func Store(dir string) string { return "sqlite:" + filepath.Join(dir, "gleaner.db") }

// Queue returns the folder of the queue in a folder.
func Queue(dir string) string { return filepath.Join(dir, "nats") }

// Exists reports whether there is a store in a folder.
func Exists(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "gleaner.db"))
	return err == nil
}

// Config says how a process takes the queue of a folder.
type Config struct {
	Dir   string
	Serve bool              // let other commands in, through loopback; else they wait until it is given back
	Warn  func(line string) // see natsd.Config
}

// user is the name of those who use the queue of a folder.
const user = "local"

// patience is how long a process waits for one that has taken the queue for a moment.
const patience = 10 * time.Second

// parting is how long a process that gives the queue back lets other commands end what they do
// there: one that cancels or deletes the run ends this process by it.
const parting = 2 * time.Second

// retryEvery is the time between two tries to take the queue.
const retryEvery = 50 * time.Millisecond

// A holder is who has the queue of a folder. It stands in the folder for those who find it in use.
type holder struct {
	PID   int       `json:"pid"`
	Since time.Time `json:"since"`
	URL   string    `json:"url,omitempty"` // where other commands are let in; "": they are not
	Key   string    `json:"key,omitempty"`
}

// A Worker is a process of gleaner run that works in a folder.
type Worker struct {
	PID   int // 0: none works there
	Since time.Time
}

// WorksIn returns the gleaner run that works in a folder. It asks the server whose address the
// folder says, because a process that was killed leaves that.
func WorksIn(ctx context.Context, dir string) Worker {
	if h := readHolder(dir); h.answers(ctx) {
		return Worker{PID: h.PID, Since: h.Since}
	}
	return Worker{}
}

func holderPath(dir string) string { return filepath.Join(dir, "holder.json") }

// Take takes the queue of a folder for this process and starts its NATS server. Close of the
// connection made with the returned settings, or the returned function, gives it back. A process
// that has it only for a moment is waited for; of another the error says which it is, and what to
// do.
func Take(ctx context.Context, cfg Config) (stream.Config, func(), error) {
	key := rand.Text()
	server := natsd.Config{
		Dir: Queue(cfg.Dir), Key: key, SyncAlways: true, Warn: cfg.Warn,
		MaxStore: math.MaxInt64, // the streams have sizes of their own, and those that are there keep theirs
	}
	if cfg.Serve {
		server.Port = -1
	}
	for until := time.Now().Add(outage.Allowed(ctx, patience)); ; {
		started, err := natsd.Start(server)
		if err == nil {
			return taken(cfg, key, started)
		}
		if !errors.Is(err, natsd.ErrInUse) {
			return stream.Config{}, nil, err
		}
		h := readHolder(cfg.Dir)
		if h.answers(ctx) || time.Now().After(until) {
			return stream.Config{}, nil, &inUseError{cfg.Dir, h}
		}
		if err := outage.Sleep(ctx, retryEvery); err != nil {
			return stream.Config{}, nil, err
		}
	}
}

// taken says in the folder who has it. It does not matter where that cannot be written: other
// commands then have to wait.
func taken(cfg Config, key string, server *natsd.Server) (stream.Config, func(), error) {
	h := holder{PID: os.Getpid(), Since: time.Now().UTC().Truncate(time.Second)}
	if cfg.Serve {
		h.URL, h.Key = server.URL(), key
	}
	if err := writeHolder(cfg.Dir, h); err != nil && cfg.Warn != nil {
		cfg.Warn("other commands do not reach this queue: " + err.Error())
	}
	giveBack := func() {
		_ = os.Remove(holderPath(cfg.Dir)) // one that stays is of a process that is gone
		for until := time.Now().Add(parting); server.Clients() > 0 && time.Now().Before(until); {
			time.Sleep(retryEvery)
		}
		server.Shutdown()
	}
	return stream.Config{InProcess: server, Key: key, User: user, OnClose: giveBack}, giveBack, nil
}

// Reach returns how a command reaches the queue of a folder: through the process that works there,
// or by taking it, until the connection is closed. It makes no folder.
func Reach(ctx context.Context, dir string, warn func(string)) (stream.Config, error) {
	if _, err := os.Stat(dir); err != nil {
		return stream.Config{}, fmt.Errorf("the folder of the runs: %w", err)
	}
	config, _, err := Take(ctx, Config{Dir: dir, Warn: warn})
	var taken *inUseError
	if errors.As(err, &taken) && taken.by.URL != "" {
		return stream.Config{URL: taken.by.URL, Key: taken.by.Key, User: user}, nil
	}
	return config, err
}

// answers reports whether there is a server at the holder's address: it may be of a process that is
// gone.
func (h holder) answers(ctx context.Context) bool {
	at, err := url.Parse(h.URL)
	if err != nil || h.URL == "" {
		return false
	}
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", at.Host)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// readHolder returns who has the queue, as far as the folder says it.
func readHolder(dir string) (h holder) {
	data, err := os.ReadFile(holderPath(dir))
	if err != nil || json.Unmarshal(data, &h) != nil {
		return holder{}
	}
	return h
}

// writeHolder replaces the file, which only its owner may read: the key is in it.
func writeHolder(dir string, h holder) error {
	data, err := json.Marshal(h)
	if err != nil {
		return err
	}
	next := holderPath(dir) + ".new"
	if err := os.WriteFile(next, append(data, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(next, holderPath(dir))
}

// An inUseError says who has a queue and what to do.
type inUseError struct {
	dir string
	by  holder
}

func (e *inUseError) Error() string {
	if e.by.URL == "" {
		who := "another command of Gleaner"
		if e.by.PID > 0 {
			who += fmt.Sprintf(", process %d", e.by.PID)
		}
		return fmt.Sprintf("the folder %s is in use by %s: wait until that is done, or choose another folder with --data", e.dir, who)
	}
	return fmt.Sprintf("the folder %s is in use by `gleaner run`, process %d, since %s: `%s` shows how far it is. Stop it with Ctrl-C there or `kill %d`, or choose another folder with --data",
		e.dir, e.by.PID, e.by.Since.Local().Format(time.DateTime), advice.Anywhere("status", "--data", e.dir), e.by.PID)
}
