package serve

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gleaner/internal/gpu"
	"gleaner/internal/ollama"
	"gleaner/internal/ollama/gguftest"
	"gleaner/internal/ollama/ollamatest"
	"gleaner/internal/pipeline"
)

var device = gpu.Device{Index: 0, UUID: "GPU-aaaa", Name: "Tesla T4"}

// victim is the variable that makes this program a consumer with a server, for tests to kill:
// "BIN STATE MODELFILE".
const victim = "GLEANER_TEST_VICTIM"

func TestMain(m *testing.M) {
	if args := os.Getenv(victim); args != "" {
		live(strings.Fields(args))
	}
	goleak.VerifyTestMain(m)
}

// live runs a server with a loaded model and prints its process id, until it is killed.
func live(args []string) {
	check := func(err error) {
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	ctx := context.Background()
	reservation, err := Reserve(Config{Bin: args[0], State: args[1], Models: filepath.Join(args[1], "models"), ModelFile: args[2]}, device)
	check(err)
	server, err := reservation.Launch(ctx, 2)
	check(err)
	check(server.WaitReady(ctx))
	_, err = server.FetchModel(ctx, "tiny", func(string, int64, int64) {})
	check(err)
	check(server.WarmUp(ctx, "tiny"))
	fmt.Println("serving", server.cmd.Process.Pid)
	select {}
}

// startVictim returns a consumer that has a server with a loaded model, and that server's process
// id.
func startVictim(t *testing.T, cfg Config) (consumer *exec.Cmd, server int) {
	t.Helper()
	consumer = exec.Command(os.Args[0])
	consumer.Env = append(os.Environ(), victim+"="+strings.Join([]string{cfg.Bin, cfg.State, cfg.ModelFile}, " "))
	out, err := consumer.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := consumer.Start(); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, 4096)
	n, _ := out.Read(said)
	if _, err := fmt.Sscanf(string(said[:n]), "serving %d", &server); err != nil {
		t.Fatalf("the consumer said %q", said[:n])
	}
	return consumer, server
}

func config(t *testing.T) Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tiny.gguf")
	if err := gguftest.Write(file, gguftest.Config{Name: "tiny", Ending: gguftest.Stop}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	return Config{Bin: ollamatest.Bin(t), State: dir, Models: filepath.Join(dir, "models"), ModelFile: file}
}

func reserve(t *testing.T, cfg Config) *Reservation {
	t.Helper()
	reservation, err := Reserve(cfg, device)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := reservation.Release(); err != nil {
			t.Error(err)
		}
	})
	return reservation
}

// ready returns a server with a loaded model.
func ready(t *testing.T, reservation *Reservation) *Server {
	t.Helper()
	server, err := reservation.Launch(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.WaitReady(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, strings.Join(server.Log(), "\n"))
	}
	if _, err := server.FetchModel(t.Context(), "tiny", func(string, int64, int64) {}); err != nil {
		t.Fatal(err)
	}
	if err := server.WarmUp(t.Context(), "tiny"); err != nil {
		t.Fatal(err)
	}
	return server
}

// processes returns the processes on a reserved GPU, the server among them.
func processes(reservation *Reservation) []int {
	var pids []int
	for _, p := range marked(reservation.marker()) {
		pids = append(pids, p.Pid)
	}
	return pids
}

func TestARealServerIsMadeReadyFromAFileAndNothingIsLeftOfIt(t *testing.T) {
	cfg := config(t)
	reservation := reserve(t, cfg)
	server := ready(t, reservation)
	loaded, err := server.Loaded(t.Context(), "tiny")
	if err != nil || loaded.Digest == "" || loaded.ServerVersion == "" || loaded.Context != DefaultContext || loaded.SizeBytes == 0 || loaded.OnGPUBytes != 0 {
		t.Errorf("it says %+v, %v", loaded, err)
	}
	_, err = server.Generate(t.Context(), pipeline.Request{Model: "tiny", Messages: pipeline.User("Hello"), Options: pipeline.Options{NumPredict: 5}})
	if server.Chunks() == 0 {
		t.Errorf("no chunk has come: %v", err)
	}
	again, err := server.FetchModel(t.Context(), "tiny", nil)
	if err != nil || again {
		t.Errorf("the model is got again: %v", err)
	}
	if n := len(processes(reservation)); n < 2 {
		t.Errorf("there are %d processes, want the server and its runner", n)
	}
	if _, err := Reserve(cfg, device); err == nil || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Errorf("the GPU can be reserved twice, or the error does not say by which process it was: %v", err)
	}
	if err := server.Stop(); err != nil {
		t.Error(err)
	}
	if left := processes(reservation); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestAServerThatIsKilledLeavesNoRunner(t *testing.T) {
	reservation := reserve(t, config(t))
	server := ready(t, reservation)
	if err := server.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-server.Exited()
	if len(processes(reservation)) == 0 {
		t.Error("the runner was gone before it was ended: this test shows nothing")
	}
	if err := server.ExitError(); !strings.Contains(err.Error(), "killed") {
		t.Errorf("it ended by %v", err)
	}
	if err := server.Stop(); err != nil {
		t.Error(err)
	}
	if left := processes(reservation); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestAStoppedServerIsEndedAsWell(t *testing.T) {
	reservation := reserve(t, config(t))
	server := ready(t, reservation)
	for _, pid := range processes(reservation) {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	if err := server.Stop(); err != nil {
		t.Error(err)
	}
	if left := processes(reservation); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestTheServersOfAKilledConsumerEndWithIt(t *testing.T) {
	cfg := config(t)
	consumer, _ := startVictim(t, cfg)
	if err := consumer.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = consumer.Wait()
	marker := filepath.Join(cfg.State, fileName(device)+".lock")
	until(t, "its processes are gone", func() bool { return len(marked(marker)) == 0 })
}

// If a server is killed and its consumer as well, the runner stays for ever, with the GPU's memory.
func TestTheNextConsumerEndsWhatAKilledOneLeftAndNothingElse(t *testing.T) {
	cfg := config(t)
	stranger := ollamatest.Start(t, cfg.Bin, "tiny")
	consumer, server := startVictim(t, cfg)
	for _, fault := range []struct {
		pid    int
		signal syscall.Signal
	}{{consumer.Process.Pid, syscall.SIGSTOP}, {server, syscall.SIGKILL}, {consumer.Process.Pid, syscall.SIGKILL}} {
		if err := syscall.Kill(fault.pid, fault.signal); err != nil {
			t.Fatal(err)
		}
	}
	_ = consumer.Wait()
	marker := filepath.Join(cfg.State, fileName(device)+".lock")
	until(t, "the server is gone", func() bool { return len(marked(marker)) == 1 })
	reservation := reserve(t, cfg)
	if reservation.Orphans != 1 || len(processes(reservation)) != 0 {
		t.Errorf("%d processes were ended, %d are left", reservation.Orphans, len(processes(reservation)))
	}
	client, err := ollama.New(stranger.URL, ollama.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.Ping(t.Context()); err != nil {
		t.Errorf("somebody else's server does not answer any more: %v", err)
	}
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit := time.After(30 * time.Second)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-look.C:
		case <-limit:
			t.Fatalf("it never happened: %s", what)
		}
	}
}

// program writes a script that stands in for Ollama.
func program(t *testing.T, script string) Config {
	t.Helper()
	dir := t.TempDir()
	bin := filepath.Join(dir, "ollama")
	if err := os.WriteFile(bin, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return Config{Bin: bin, State: dir, Grace: 50 * time.Millisecond}
}

func TestAServerThatEndsAtOnceSaysWhyInItsLog(t *testing.T) {
	reservation := reserve(t, program(t, "echo '[GIN] a request'; echo 'error while loading shared libraries' >&2; exit 127"))
	server, err := reservation.Launch(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.WaitReady(t.Context()); err == nil || !strings.Contains(err.Error(), "127") {
		t.Errorf("it answers: %v", err)
	}
	if log := strings.Join(server.Log(), "|"); log != "error while loading shared libraries" {
		t.Errorf("its log is %q", log)
	}
	if err := server.Stop(); err != nil {
		t.Error(err)
	}
}

func TestAServerThatIgnoresSignalsIsKilledWithItsChildren(t *testing.T) {
	reservation := reserve(t, program(t, "trap '' TERM\n(trap '' TERM; echo child; sleep 1000) &\nsleep 1000; sleep 1000"))
	server, err := reservation.Launch(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	until(t, "all of them run", func() bool { return len(server.Log()) > 0 && len(processes(reservation)) >= 3 })
	if err := server.Stop(); err != nil {
		t.Error(err)
	}
	if left := processes(reservation); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestAnErrorNamesWhatIsMissing(t *testing.T) {
	cfg := program(t, "")
	for want, change := range map[string]func(*Config){
		"--ollama-bin":     func(c *Config) { c.Bin = "no-such-program" },
		"the model's file": func(c *Config) { c.ModelFile = "no-such-file" },
		"positive":         func(c *Config) { c.Context = -1 },
	} {
		broken := cfg
		change(&broken)
		if _, err := Reserve(broken, device); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	cfg.ModelFile = ""
	reservation := reserve(t, cfg)
	server := &Server{Client: dead(t), reservation: reservation}
	if _, err := server.FetchModel(t.Context(), "tiny", nil); err == nil || errors.Is(err, ollama.ErrNoModel) {
		t.Errorf("a server that is not there lacks the model: %v", err)
	}
}

func dead(t *testing.T) *ollama.Client {
	t.Helper()
	host, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	client, err := ollama.New("http://"+host, ollama.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return client
}
