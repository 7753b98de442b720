package serve

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// setProcessGroup has a process start in a group of its own, and get SIGTERM when the thread that
// starts it dies. SIGTERM and not SIGKILL: a server that is killed leaves its runner behind.
func setProcessGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

// resumeGroup lets those processes of a group go on that were stopped.
func resumeGroup(group int) { _ = syscall.Kill(-group, syscall.SIGCONT) }

func killGroup(group int) { _ = syscall.Kill(-group, syscall.SIGKILL) }

// killedWithin is how long killed processes may take to disappear.
const killedWithin = 10 * time.Second

// endMarked ends all processes with this marker, except this one, and returns how many there were.
// They get SIGTERM, and are killed if they have not ended after the grace. It returns when none of
// them is left.
func endMarked(marker string, grace time.Duration) (int, error) {
	found := marked(marker)
	if len(found) == 0 {
		return 0, nil
	}
	signalAll(found, syscall.SIGTERM)
	signalAll(found, syscall.SIGCONT)
	killAt, limit := time.Now().Add(grace), time.Now().Add(grace+killedWithin)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		left := marked(marker)
		switch {
		case len(left) == 0:
			return len(found), nil
		case time.Now().After(limit):
			return len(found), fmt.Errorf("process %d cannot be ended: look at it with ps", left[0].Pid)
		case !time.Now().Before(killAt):
			signalAll(left, syscall.SIGKILL)
		}
		<-tick.C
	}
}

func signalAll(processes []*os.Process, signal os.Signal) {
	for _, p := range processes {
		_ = p.Signal(signal) // it may have ended
	}
}

// marked returns the processes with this marker in their environment. Zombies have no environment.
func marked(marker string) []*os.Process {
	var found []*os.Process
	folders, _ := filepath.Glob("/proc/[0-9]*")
	entry := []byte(markerVariable + "=" + marker)
	for _, folder := range folders {
		pid, err := strconv.Atoi(filepath.Base(folder))
		if err != nil || pid == os.Getpid() {
			continue
		}
		// The handle comes first, so that a signal cannot reach another process that has got the
		// same number in the meantime.
		process, err := os.FindProcess(pid)
		if err != nil {
			continue
		}
		environ, err := os.ReadFile(filepath.Join(folder, "environ"))
		if err != nil || !hasEntry(environ, entry) {
			_ = process.Release()
			continue
		}
		found = append(found, process)
	}
	return found
}

func hasEntry(environ, entry []byte) bool {
	for one := range bytes.SplitSeq(environ, []byte{0}) {
		if bytes.Equal(one, entry) {
			return true
		}
	}
	return false
}
