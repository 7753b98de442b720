package ollamatest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A RealServer is an Ollama server that belongs to one test, which may kill it.
type RealServer struct {
	URL    string
	Models string // the folder of its models

	cmd    *exec.Cmd
	log    string
	exited chan struct{}
}

// Start starts a server with these of the models of TinyModels. It is killed with everything that
// it has started when the test ends.
func Start(t testing.TB, bin string, names ...string) *RealServer {
	t.Helper()
	p := StartWith(t, bin, filepath.Join(t.TempDir(), "models"))
	if err := CreateModels(t.Context(), p.URL, names...); err != nil {
		t.Fatal(err)
	}
	return p
}

// StartWith starts a server on a folder of models that may belong to another server, with variables
// of its own.
func StartWith(t testing.TB, bin, models string, env ...string) *RealServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	listener.Close() // from here to the start of the server the port is only likely to be free
	home := t.TempDir()
	log, err := os.Create(filepath.Join(home, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	p := &RealServer{URL: "http://" + addr, Models: models, cmd: exec.Command(bin, "serve"), log: log.Name(), exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), "HOME="+home, "OLLAMA_HOST="+addr, "OLLAMA_MODELS="+models, "OLLAMA_NO_CLOUD=1",
		"OLLAMA_NUM_PARALLEL=2", "OLLAMA_CONTEXT_LENGTH=4096", "OLLAMA_KEEP_ALIVE=-1", "OLLAMA_NOPRUNE=1")
	p.cmd.Env = append(p.cmd.Env, env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	// A group of its own: after kill -9 the server's runner lives on, but it can still be found
	// by the group.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ends is what the test is about
		close(p.exited)
	}()
	t.Cleanup(func() { p.end(t) })
	if err := ready(t.Context(), p.URL); err != nil {
		t.Fatal(err)
	}
	return p
}

// end kills the whole group and waits until the server is gone.
func (p *RealServer) end(t testing.TB) {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // the group may be empty already
	<-p.exited
	if t.Failed() {
		if log, err := os.ReadFile(p.log); err == nil {
			t.Logf("the end of the server's log:\n%s", log[max(0, len(log)-4000):])
		}
	}
}

// Kill ends the server itself, as kill -9 does, and waits until it is gone. Its runner lives on.
func (p *RealServer) Kill(t testing.TB) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.exited
}

// SignalRunner sends the process that runs the model a signal, and returns its pid.
func (p *RealServer) SignalRunner(t testing.TB, signal syscall.Signal) int {
	t.Helper()
	pid := p.Runner(t)
	if err := syscall.Kill(pid, signal); err != nil {
		t.Fatal(err)
	}
	return pid
}

// Runner returns the pid of the process that runs the model, once there is one.
func (p *RealServer) Runner(t testing.TB) int {
	t.Helper()
	limit := time.After(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if pid := p.runner(); pid > 0 {
			return pid
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("the server has no runner")
		}
	}
}

// runner returns the pid of the server's child that runs a model, or 0.
func (p *RealServer) runner() int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has just ended
		}
		// After the name, in brackets, come the state, the parent and the group.
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(fields) < 3 || string(fields[0]) == "Z" || string(fields[2]) != fmt.Sprint(p.cmd.Process.Pid) {
			continue
		}
		dir := filepath.Dir(path)
		if line, err := os.ReadFile(filepath.Join(dir, "cmdline")); err == nil && runsModel(line) {
			pid, _ := strconv.Atoi(filepath.Base(dir))
			return pid
		}
	}
	return 0
}

// runsModel reports whether this is the command line of a process that runs a model: of Ollama's
// own runner, or since version 0.30 of a llama-server.
func runsModel(line []byte) bool {
	args := strings.Split(string(line), "\x00")
	return slices.Contains(args, "--model") && (slices.Contains(args, "runner") || strings.HasPrefix(filepath.Base(args[0]), "llama-server"))
}
