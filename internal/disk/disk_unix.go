//go:build !windows

package disk

import (
	"fmt"
	"syscall"
)

// Free returns the bytes that are free on the disk of a folder that exists.
func Free(dir string) (int64, error) {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		return 0, fmt.Errorf("how much is free in %s: %w", dir, err)
	}
	return int64(disk.Bavail) * int64(disk.Bsize), nil
}
