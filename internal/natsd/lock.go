package natsd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

// ErrInUse is wrapped by the error of Start if another server has the folder.
var ErrInUse = errors.New("it is in use by another NATS server")

// lockFolder keeps a folder for one server, until the lock is released or the process ends, however
// it ends. JetStream itself does not notice when two servers write the same files.
func lockFolder(dir string) (*flock.Flock, error) {
	lock := flock.New(filepath.Join(dir, "server.lock"), flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o600))
	locked, err := lock.TryLock()
	switch {
	case err != nil:
		return nil, fmt.Errorf("the folder %s cannot be written: %w", dir, err)
	case !locked:
		return nil, fmt.Errorf("the folder %s: %w: end that one, or choose another folder", dir, ErrInUse)
	}
	return lock, nil
}

// InUse reports whether a server of any process has this folder, which may not be there.
func InUse(dir string) bool {
	if _, err := os.Stat(filepath.Join(dir, "server.lock")); err != nil {
		return false
	}
	lock, err := lockFolder(dir)
	if err == nil {
		_ = lock.Unlock() // it was held for this question alone
	}
	return err != nil
}
