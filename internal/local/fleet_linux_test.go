package local_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gleaner/internal/cli/processtest"
	"gleaner/internal/natsd"
	"gleaner/internal/ollama/ollamatest"
	"gleaner/internal/store"
)

// A fleet is a consumer that runs real Ollama servers itself, on GPUs that only a fake nvidia-smi
// reports.
type fleet struct {
	*programs
	store store.Store
	cache string // where it has its locks and logs
	args  []string
}

// newFleet prepares a run and everything around the consumer.
func newFleet(t *testing.T, dir string, bin, models string) *fleet {
	t.Helper()
	uri := "sqlite:" + filepath.Join(t.TempDir(), "store.db")
	f := &fleet{
		programs: &programs{t: t, dir: dir, uri: uri}, cache: t.TempDir(),
		args: []string{"--run", "words", "--gpus", "auto", "--ollama-bin", bin, "--models", models, "--allow-cpu", "--slots", "2", "--stall", "3s", "--grace", "60s"},
	}
	smi := filepath.Join(f.cache, "nvidia-smi")
	if err := os.WriteFile(smi, []byte("#!/bin/sh\necho '0, GPU-aaaa, Tesla T4, 15360'\necho '1, GPU-bbbb, Tesla T4, 15360'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	server, err := natsd.Start(natsd.Config{Dir: t.TempDir(), Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	f.env = append(os.Environ(), "MONGODB_URI="+uri, "NATS_URL="+server.URL(), "XDG_CACHE_HOME="+f.cache, "PATH="+f.cache+":"+os.Getenv("PATH"))
	if f.store, err = store.Open(t.Context(), uri); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.store.Close() })
	t.Cleanup(f.kill)
	f.run("producer", "load", "--run", "words", "--input", rows(t), "--field", "question", "--model", "tiny", "--num-predict", "1500", "--samples", "2")
	f.start("sink", "serve", "--flush-every", "100ms")
	return f
}

// processes returns the pids of the consumer's servers by kind: "serve" or "runner".
func (f *fleet) processes() map[string][]int {
	found := map[string][]int{}
	folders, _ := filepath.Glob("/proc/[0-9]*")
	for _, folder := range folders {
		environ, _ := os.ReadFile(filepath.Join(folder, "environ"))
		if !bytes.Contains(environ, []byte("GLEANER_GPU="+f.cache)) {
			continue
		}
		line, _ := os.ReadFile(filepath.Join(folder, "cmdline"))
		if words := strings.Split(string(line), "\x00"); len(words) > 1 {
			pid, _ := strconv.Atoi(filepath.Base(folder))
			found[words[1]] = append(found[words[1]], pid)
		}
	}
	return found
}

// signal sends one of the consumer's processes a signal.
func (f *fleet) signal(kind string, sent syscall.Signal) {
	f.t.Helper()
	f.await("there is a "+kind, func() bool { return len(f.processes()[kind]) > 0 })
	if err := syscall.Kill(f.processes()[kind][0], sent); err != nil {
		f.t.Fatal(err)
	}
}

// kill ends the processes that a failed test has left.
func (f *fleet) kill() {
	for _, pids := range f.processes() {
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

func (f *fleet) await(what string, ok func() bool) {
	f.t.Helper()
	limit := time.After(time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			f.t.Fatalf("waited for a minute, and still not: %s", what)
		}
	}
}

// shares returns how many results each GPU has given, and fails unless each generation has one.
func (f *fleet) shares() map[string]int {
	f.t.Helper()
	shares, seen := map[string]int{}, map[string]bool{}
	for answer, err := range f.store.Answers(f.t.Context(), "words") {
		if err != nil {
			f.t.Fatal(err)
		}
		id := fmt.Sprint(answer.Item, answer.Sample)
		if answer.Result == nil || answer.Result.Text == "" || seen[id] {
			f.t.Fatalf("generation %s has no result or several: %+v", id, answer.Result)
		}
		seen[id] = true
		shares[answer.Result.GPU]++
	}
	if len(seen) != 2*programRows {
		f.t.Errorf("%d generations have a result, want %d", len(seen), 2*programRows)
	}
	return shares
}

// end stops the consumer and fails unless nothing is left of its servers.
func (f *fleet) end(consumer *processtest.Process) {
	f.t.Helper()
	if err := consumer.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
		f.t.Fatal(err)
	}
	if code := consumer.Wait(); code != 0 {
		f.t.Errorf("the consumer ended with %d:\n%s", code, consumer.Said())
	}
	if left := f.processes(); len(left) > 0 {
		f.t.Errorf("these processes are left: %v", left)
	}
}

// A consumer with two GPUs runs a real Ollama server on each, whatever happens to them and to
// itself.
func TestAConsumerRunsItsServersItself(t *testing.T) {
	bin := ollamatest.Bin(t)
	others := ollamatest.Start(t, bin, "tiny") // another user's server, which has to be left alone
	built := build(t, "")
	t.Run("and uses its GPUs evenly", func(t *testing.T) {
		f := newFleet(t, built.dir, bin, others.Models)
		publish := f.start("producer", "publish", "--run", "words", "--follow", "--lease", "5s")
		consumer := f.start("consumer", append(f.args, "--stay")...)
		if code := publish.Wait(); code != 0 {
			t.Fatalf("producer publish ended with %d:\n%s\n%s", code, publish.Said(), consumer.Said())
		}
		shares := f.shares()
		t.Logf("the GPUs' shares: %v", shares)
		for gpu, n := range maps.All(shares) {
			if len(shares) != 2 || n < programRows/2 {
				t.Errorf("%s gave %d of %d results: %v", gpu, n, 2*programRows, shares)
			}
		}
		if second := f.start("consumer", f.args...); second.Wait() != 1 || !strings.Contains(second.Said(), "another consumer uses it") {
			t.Errorf("a second consumer takes the same GPUs:\n%s", second.Said())
		}
		f.end(consumer)
	})
	t.Run("also after killed and stopped runners and servers, and when it is killed itself", func(t *testing.T) {
		f := newFleet(t, built.dir, bin, others.Models)
		publish := f.start("producer", "publish", "--run", "words", "--follow", "--lease", "2s")
		consumer := f.start("consumer", append(f.args, "--rest", "1s")...)
		waitForStored(t, f.store, 20)
		f.signal("runner", syscall.SIGKILL)
		waitForStored(t, f.store, 50)
		f.signal("runner", syscall.SIGSTOP)
		waitForStored(t, f.store, 80)
		f.signal("serve", syscall.SIGKILL)
		consumer.WaitFor("the server is restarted")
		waitForStored(t, f.store, 110)
		f.signal("serve", syscall.SIGSTOP)
		waitForStored(t, f.store, 120)
		if err := consumer.Cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		consumer.Wait()
		consumer = f.start("consumer", append(f.args, "--rest", "1s")...)
		if code := publish.Wait(); code != 0 {
			t.Fatalf("producer publish ended with %d:\n%s\n%s", code, publish.Said(), consumer.Said())
		}
		f.shares()
		f.end(consumer)
	})
	if err := ollamatest.CreateModels(t.Context(), others.URL, "tiny"); err != nil { // it has the model already: this checks that it answers
		t.Errorf("another user's server was ended: %v", err)
	}
}
