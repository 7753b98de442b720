//go:build unix

package ollamasim_test

import (
	"syscall"
	"testing"
	"time"
)

// cpuTime returns what this process has used so far, the client's part included.
func cpuTime(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
