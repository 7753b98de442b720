//go:build !linux

package serve

import (
	"os/exec"
	"time"
)

// None of these is ever called: Reserve refuses other systems before.

func setProcessGroup(*exec.Cmd) {}

func resumeGroup(int) {}

func killGroup(int) {}

func endMarked(string, time.Duration) (int, error) { return 0, ErrUnsupported }
