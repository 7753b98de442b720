package natsd

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

// lockFolder keeps a folder for one server, until the lock is released or the process ends, however
// it ends. JetStream itself does not notice when two servers write the same files.
func lockFolder(dir string) (*flock.Flock, error) {
	lock := flock.New(filepath.Join(dir, "server.lock"), flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o600))
	locked, err := lock.TryLock()
	switch {
	case err != nil:
		return nil, fmt.Errorf("the folder %s cannot be written: %w", dir, err)
	case !locked:
		return nil, fmt.Errorf("the folder %s is in use by another NATS server: end that one, or choose another folder", dir)
	}
	return lock, nil
}
