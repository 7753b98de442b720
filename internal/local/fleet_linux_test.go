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

// A fleet is a consumer that runs real Ollama servers itself, on GPUs that only nvidia-smi's
// stand-in knows of.
type fleet struct {
	*programs
	ledger store.Store
	cache  string // where it has its locks and logs
	args   []string
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
	if f.ledger, err = store.Open(t.Context(), uri); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.ledger.Close() })
	t.Cleanup(f.kill)
	f.run("producer", "load", "--run", "words", "--input", rows(t), "--field", "question", "--model", "tiny", "--num-predict", "1500", "--samples", "2")
	f.start("sink", "serve", "--flush-every", "100ms")
	return f
}

// processes returns those that the consumer's servers consist of, by what they are: "serve" or
// "runner".
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

// strike sends one of the consumer's processes a signal.
func (f *fleet) strike(what string, signal syscall.Signal) {
	f.t.Helper()
	f.await("there is a "+what, func() bool { return len(f.processes()[what]) > 0 })
	if err := syscall.Kill(f.processes()[what][0], signal); err != nil {
		f.t.Fatal(err)
	}
}

// kill ends what a test that failed has left.
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
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-look.C:
		case <-limit:
			f.t.Fatalf("in vain it was waited until %s", what)
		}
	}
}

// shares returns how many results each GPU has given, and fails unless each generation has one.
func (f *fleet) shares() map[string]int {
	f.t.Helper()
	shares, seen := map[string]int{}, map[string]bool{}
	for answer, err := range f.ledger.Answers(f.t.Context(), "words") {
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
	others := ollamatest.Start(t, bin, "tiny") // somebody else's server, which has to be left alone
	built := build(t, "")
	t.Run("and uses its GPUs evenly", func(t *testing.T) {
		f := newFleet(t, built.dir, bin, others.Models)
		publish := f.start("producer", "publish", "--run", "words", "--follow", "--lease", "5s")
		consumer := f.start("consumer", f.args...)
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
		waitForStored(t, f.ledger, 20)
		f.strike("runner", syscall.SIGKILL)
		waitForStored(t, f.ledger, 50)
		f.strike("runner", syscall.SIGSTOP)
		waitForStored(t, f.ledger, 80)
		f.strike("serve", syscall.SIGKILL)
		consumer.WaitFor("the server is restarted")
		waitForStored(t, f.ledger, 110)
		f.strike("serve", syscall.SIGSTOP)
		waitForStored(t, f.ledger, 120)
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
	if err := ollamatest.CreateModels(t.Context(), others.URL, "tiny"); err != nil { // it has it: this asks whether it answers
		t.Errorf("somebody else's server was ended: %v", err)
	}
}
