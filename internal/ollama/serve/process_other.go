//go:build !linux

package serve

import (
	"os"
	"os/exec"
	"time"
)

// Nothing of this is ever called: Claim refuses other systems before.

func ownGroup(*exec.Cmd) {}

func wake(int) {}

func killGroup(int) {}

func lockFile(string) (*os.File, error) { return nil, ErrUnsupported }

func sweep(string, time.Duration) (int, error) { return 0, ErrUnsupported }
