// Package holdings keeps, in a file of this machine, what a consumer holds of the queue, so that
// the next consumer hands back at once what a killed one held. Otherwise that waits for its lease.
//
// Each consumer has a file of its own, which it locks for as long as it lives. Who gets the lock of
// another's file knows that its process is gone: presence cannot tell, since it lasts for three
// leases, and two consumers on one machine are legal. What is handed back must not have another
// holder by now, so it counts only within nine tenths of the lease after the last renewal that the
// server has confirmed, by the clock of one machine that was not restarted in between.
//
// Where a machine does not say when it was started, which is everywhere but on Linux, nothing is
// kept, and what a killed consumer held waits for its lease.
package holdings

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"
)

// rewriteAt is the size of a file, in bytes, at which it is written without what is released.
const rewriteAt = 1 << 20

const suffix = ".held"

// An Owner is the consumer that a file belongs to. It is the file's first line.
type Owner struct {
	Boot     string        `json:"boot"` // since when the machine runs
	UID      string        `json:"uid"`  // of the run
	Consumer string        `json:"consumer"`
	Lease    time.Duration `json:"lease"`
}

// A File is what one consumer holds. It may be used by many goroutines.
type File struct {
	owner Owner
	path  string
	lock  *flock.Flock

	mu   sync.Mutex
	file *os.File // nil: nothing is kept
	size int
	held map[string]time.Time // by where the server takes acks: the last confirmed renewal
}

// Folder returns the folder for the files of this user.
func Folder() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("the folder for what is held: %w", err)
	}
	return filepath.Join(cache, "gleaner", "held"), nil
}

// Open makes the file of a consumer for the run with this uid. The caller ends it with Close.
func Open(folder string, owner Owner) (*File, error) {
	f := &File{owner: owner, held: map[string]time.Time{}}
	if f.owner.Boot = bootID(); f.owner.Boot == "" {
		return f, nil
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("the folder for what is held: %w", err)
	}
	f.path = filepath.Join(folder, owner.UID+"."+owner.Consumer+suffix)
	// No one sees the file before it is locked.
	hidden := f.path + ".new"
	f.lock = flock.New(hidden, flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o600))
	locked, err := f.lock.TryLock()
	if err == nil && !locked {
		err = errors.New("another process has it")
	}
	if err == nil {
		f.file, err = os.OpenFile(hidden, os.O_WRONLY|os.O_APPEND, 0o600)
	}
	if err == nil {
		err = f.rewrite()
	}
	if err == nil {
		err = os.Rename(hidden, f.path)
	}
	if err != nil {
		_ = os.Remove(hidden)
		return nil, errors.Join(fmt.Errorf("the file of what is held: %w", err), f.lock.Close())
	}
	return f, nil
}

// Renewed notes that a lease was renewed for certain at this time, or that a delivery has come.
// Reply is where the server takes acks of the delivery.
func (f *File) Renewed(reply string, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held[reply] = at
	f.write(line(reply, at))
}

// Released notes that a delivery is not held any more. It has to be called before it is handed
// back: it may have another holder after that.
func (f *File) Released(reply string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.held, reply)
	f.write("-" + reply + "\n")
}

func line(reply string, at time.Time) string { return fmt.Sprintf("+%d %s\n", at.UnixMilli(), reply) }

// write adds a line. A file that cannot be written says nothing true any more, so it is given up.
// The caller holds mu.
func (f *File) write(text string) {
	if f.file == nil {
		return
	}
	n, err := f.file.WriteString(text)
	f.size += n
	if err == nil && f.size > rewriteAt && f.size > 4*len(text)*len(f.held) {
		err = f.rewrite()
	}
	if err != nil {
		_ = os.Remove(f.path)
		_ = f.file.Close()
		f.file = nil
	}
}

// rewrite writes the file with what is held now. A process that dies in between leaves less there.
func (f *File) rewrite() error {
	header, err := json.Marshal(f.owner)
	if err != nil {
		return err
	}
	var b strings.Builder
	b.Write(append(header, '\n'))
	for reply, at := range f.held {
		if time.Since(at) > f.owner.Lease { // it was lost, and never released
			delete(f.held, reply)
			continue
		}
		b.WriteString(line(reply, at))
	}
	if err := f.file.Truncate(0); err != nil {
		return err
	}
	f.size = b.Len()
	_, err = f.file.WriteString(b.String())
	return err
}

// Close removes the file: what is still held then waits for its lease.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lock == nil {
		return nil
	}
	err := os.Remove(f.path)
	if f.file != nil {
		err = errors.Join(err, f.file.Close())
		f.file = nil
	}
	return errors.Join(err, f.lock.Close())
}
