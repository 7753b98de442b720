// Package disk says how much is free on the disks of this machine.
package disk

import (
	"fmt"
	"os"
	"path/filepath"
)

// FreeFor returns the bytes that are free where a folder is, or will be made.
func FreeFor(dir string) (int64, error) {
	full, err := filepath.Abs(dir)
	if err != nil {
		return 0, err
	}
	for at := full; ; at = filepath.Dir(at) {
		if info, err := os.Stat(at); err == nil && info.IsDir() {
			return Free(at)
		}
		if at == filepath.Dir(at) {
			return 0, fmt.Errorf("there is no folder above %s", full)
		}
	}
}
