package disk

import (
	"fmt"
	"syscall"
	"unsafe"
)

// Free returns the bytes that are free on the disk of a folder that exists.
func Free(dir string) (int64, error) {
	name, err := syscall.UTF16PtrFromString(dir)
	if err != nil {
		return 0, fmt.Errorf("how much is free in %q: %w", dir, err)
	}
	var free int64
	ask := syscall.NewLazyDLL("kernel32.dll").NewProc("GetDiskFreeSpaceExW")
	if ok, _, err := ask.Call(uintptr(unsafe.Pointer(name)), uintptr(unsafe.Pointer(&free)), 0, 0); ok == 0 {
		return 0, fmt.Errorf("how much is free in %s: %w", dir, err)
	}
	return free, nil
}
