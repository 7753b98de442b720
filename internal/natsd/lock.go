package natsd

import (
	"fmt"
	"os"
	"path/filepath"
)

// A lock keeps a folder for one server. JetStream itself does not notice when two servers write
// the same files.
type lock struct{ file *os.File }

func lockFolder(dir string) (*lock, error) {
	path := filepath.Join(dir, "server.lock")
	file, taken, err := openExclusive(path)
	switch {
	case taken:
		return nil, fmt.Errorf("the folder %s is in use by another NATS server: end that one, or choose another folder", dir)
	case err != nil:
		return nil, fmt.Errorf("the folder %s cannot be written: %w", dir, err)
	}
	return &lock{file}, nil
}

func (l *lock) release() error { return l.file.Close() }
