package serve

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ownGroup puts a process into a group of its own, and has it asked to end when the thread dies
// that starts it. SIGTERM and not SIGKILL: a server that is killed leaves its runner behind.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

// wake lets the processes of a group go on that were stopped.
func wake(group int) { _ = syscall.Kill(-group, syscall.SIGCONT) }

func killGroup(group int) { _ = syscall.Kill(-group, syscall.SIGKILL) }

// lockFile opens a file with a lock that ends with this process, also if that is killed.
// Processes that it starts do not inherit it.
func lockFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return file, nil
	}
	_ = file.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		who, _ := os.ReadFile(path)
		return nil, fmt.Errorf("another consumer uses it (%s): end that one, or choose other GPUs with --gpus", strings.TrimSpace(string(who)))
	}
	return nil, fmt.Errorf("locking %s: %w", path, err)
}

// gone is how long killed processes may take to disappear.
const gone = 10 * time.Second

// sweep ends all processes with this mark but for this one, and returns how many there were. They
// are asked first and have the grace to end; without a grace they are killed. It returns when
// none of them is left.
func sweep(mark string, grace time.Duration) (int, error) {
	found := marked(mark)
	if len(found) == 0 {
		return 0, nil
	}
	signalAll(found, syscall.SIGTERM)
	signalAll(found, syscall.SIGCONT)
	killing, limit := time.Now().Add(grace), time.Now().Add(grace+gone)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		left := marked(mark)
		switch {
		case len(left) == 0:
			return len(found), nil
		case time.Now().After(limit):
			return len(found), fmt.Errorf("process %d cannot be ended: look at it with ps", left[0].Pid)
		case !time.Now().Before(killing):
			signalAll(left, syscall.SIGKILL)
		}
		<-again.C
	}
}

func signalAll(processes []*os.Process, signal os.Signal) {
	for _, p := range processes {
		_ = p.Signal(signal) // it may have ended
	}
}

// marked returns the processes with this mark in their environment. Zombies have none.
func marked(mark string) []*os.Process {
	var found []*os.Process
	folders, _ := filepath.Glob("/proc/[0-9]*")
	entry := []byte(markName + "=" + mark)
	for _, folder := range folders {
		pid, err := strconv.Atoi(filepath.Base(folder))
		if err != nil || pid == os.Getpid() {
			continue
		}
		// The handle comes first, so that a signal cannot reach another process which got the
		// number meanwhile.
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
