package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"
)

// The cache:
//
//	HOST/OWNER/NAME/refs/REV               which commit a revision was when it was last asked for
//	HOST/OWNER/NAME/commits/COMMIT.json    the listing of a commit
//	HOST/OWNER/NAME/blobs/HASH/FILE        a file, by the hash of its content
//	web/HASH/current.json                  what is known of an address elsewhere
//	web/HASH/DIGEST/FILE                   a file from there, by the digest of its content
//
// Beside a file are FILE.lock, and while it is downloaded FILE.part and FILE.part.json.

// datasetFolder returns where the files of a dataset are kept.
func (c *client) datasetFolder(t target) string {
	owner, name, _ := strings.Cut(t.repo, "/")
	return filepath.Join(c.cfg.CacheDir, safeName(c.endpoint.Host+c.endpoint.Path), safeName(owner), safeName(name))
}

// safeName returns a name that each file system takes, and that names nothing else than a file.
func safeName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r <= ' ' || r == 0x7f || strings.ContainsRune(`/\:*?"<>|`, r) {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(name, "_"))
	const longest = 150 // with what is added a file system's 255 bytes are not reached
	if len(name) > longest {
		name = strings.ToValidUTF8(name[len(name)-longest:], "_")
	}
	if strings.Trim(name, ". ") == "" {
		return "_" + strings.Trim(name, ". ")
	}
	if strings.HasSuffix(name, ".") {
		name += "_"
	}
	return name
}

// lock waits until no other process downloads the file, and makes its folder.
func lock(ctx context.Context, file string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, diskError(err, filepath.Dir(file))
	}
	l := flock.New(file+".lock", flock.SetPermissions(0o600))
	if _, err := l.TryLockContext(ctx, 100*time.Millisecond); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("locking %s: %w", file, err)
	}
	return func() { _ = l.Close() }, nil
}

// hasSize reports whether a file is there, with this size; any size where it is below 0.
func hasSize(file string, size int64) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular() && (size < 0 || info.Size() == size)
}

// readJSON reads a file of ours. What cannot be read counts as not there.
func readJSON(file string, value any) bool {
	data, err := os.ReadFile(file)
	return err == nil && json.Unmarshal(data, value) == nil
}

// writeJSON writes a file of ours, whole or not at all.
func writeJSON(file string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	return writeWhole(file, data)
}

func writeWhole(file string, data []byte) error {
	folder := filepath.Dir(file)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return diskError(err, folder)
	}
	temporary, err := os.CreateTemp(folder, ".new-*")
	if err != nil {
		return diskError(err, folder)
	}
	_, err = temporary.Write(data)
	if err = errors.Join(err, temporary.Close()); err == nil {
		err = os.Rename(temporary.Name(), file)
	}
	if err != nil {
		_ = os.Remove(temporary.Name())
		return diskError(err, folder)
	}
	return nil
}

// diskError says what to do about a disk that cannot be written to.
func diskError(err error, folder string) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("there is no room left for what is downloaded in %s: free some, or set XDG_CACHE_HOME to a folder on a larger disk: %w", folder, err)
	case errors.Is(err, os.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("what is downloaded cannot be written to %s: set XDG_CACHE_HOME to a folder of yours: %w", folder, err)
	}
	return fmt.Errorf("writing what is downloaded to %s: %w", folder, err)
}

// checkRoom refuses a download for which there is no room.
func (c *client) checkRoom(shown string, bytes int64) error {
	if c.cfg.Free == nil || bytes <= 0 {
		return nil
	}
	folder := c.cfg.CacheDir
	for !isFolder(folder) && filepath.Dir(folder) != folder {
		folder = filepath.Dir(folder)
	}
	free, err := c.cfg.Free(folder)
	if err != nil || free >= bytes {
		return nil // what cannot be asked is found out by writing
	}
	return fmt.Errorf("%s: %w", shown, diskError(fmt.Errorf("%s are needed and %s are free: %w", size(bytes), size(free), syscall.ENOSPC), folder))
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// size shows a number of bytes.
func size(bytes int64) string {
	unit, units := float64(bytes), []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for unit >= 1024 && i < len(units)-1 {
		unit /= 1024
		i++
	}
	if i == 0 {
		return fmt.Sprintf("%d bytes", bytes)
	}
	return fmt.Sprintf("%.1f %s", unit, units[i])
}
