//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gleaner/internal/faultproxy"
	"gleaner/internal/pipeline"
	"gleaner/internal/store"
	"gleaner/internal/stream"
)

// A testbed is all processes of one seed. Each program reaches its servers through proxies of its
// own.
type testbed struct {
	setup
	store     store.Store
	server    natsServer
	nats      *process
	admin     *nats.Conn // without a proxy
	js        jetstream.JetStream
	seen      *requestLog
	ollamas   []*ollama // consumer 1's GPUs, consumer 2's, …
	programs  map[string]*process
	claims    claims
	beside    sync.WaitGroup // what goes on beside the programs
	forger    *forger
	special   []special // that rows of it may be
	rows      []row     // of the run
	otherHeld []any     // what the other store holds
	seed      int64
	toNATS    map[string]*faultproxy.Proxy // by program
	toStore   map[string]*faultproxy.Proxy
	logsMu    sync.Mutex
	logs      []*os.File
}

// A setup is what a testbed finds ready.
type setup struct {
	dir      string    // of this seed
	root     string    // of the module
	bin      string    // the folder of the programs
	storeURI string    // without a proxy
	database *database // nil: the store is not ours to be killed
}

// newTestbed starts everything but the programs.
func newTestbed(ctx context.Context, seed int64, s setup) (b *testbed, err error) {
	b = &testbed{
		setup: s, seed: seed, claims: claims{busy: map[string]int{}},
		programs: map[string]*process{}, toNATS: map[string]*faultproxy.Proxy{}, toStore: map[string]*faultproxy.Proxy{},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if b.server, err = newNATSServer(s.dir, s.root, keyed(seed)); err != nil {
		return b, err
	}
	if err = b.makeProxies(); err != nil {
		return b, err
	}
	if err = b.startNATS(); err != nil {
		return b, err
	}
	if b.store, err = store.Open(ctx, s.storeURI); err != nil {
		return b, err
	}
	if err := b.store.DeleteRun(ctx, run, nil); err != nil && !isNoRun(err) {
		return b, err
	}
	executed, err := b.log("executed")
	if err != nil {
		return b, err
	}
	b.seen = newRequestLog(executed)
	for _, name := range numbered("ollama", consumers*gpusEach) {
		o, err := startOllama(name, b.seen)
		if err != nil {
			return b, err
		}
		b.ollamas = append(b.ollamas, o)
	}
	return b, nil
}

func (b *testbed) startNATS() error {
	log, err := b.log("nats")
	if err != nil {
		return err
	}
	b.nats = newProcess(processConfig{name: natsTarget, log: log, env: os.Environ(), args: b.server.command(b.bin)})
	b.admin, err = nats.Connect(b.server.url(chaosRole, b.server.addr), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	if err == nil {
		b.js, err = jetstream.New(b.admin)
	}
	return err
}

func (b *testbed) log(name string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(b.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err == nil {
		b.logsMu.Lock()
		defer b.logsMu.Unlock()
		b.logs = append(b.logs, f)
	}
	return f, err
}

func (b *testbed) otherStore() string { return "sqlite:" + filepath.Join(b.dir, "other.db") }

// logEnd returns where the log of a program will go on.
func (b *testbed) logEnd(name string) (int64, error) {
	info, err := os.Stat(filepath.Join(b.dir, name+".log"))
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// logSince returns what a program has said since then.
func (b *testbed) logSince(name string, from int64) (string, error) {
	log, err := os.ReadFile(filepath.Join(b.dir, name+".log"))
	return string(log[min(from, int64(len(log))):]), err
}

// makeProxies starts the proxies of all programs. A file needs none.
func (b *testbed) makeProxies() (err error) {
	u, err := url.Parse(b.storeURI)
	file := err != nil || u.Host == ""
	for _, name := range append(fault{target: allPrograms}.touches(), "operator", otherSink) {
		if b.toNATS[name], err = faultproxy.Start(b.server.addr); err != nil {
			return err
		}
		if file || name == otherSink || roleOf(name) == consumerRole {
			continue
		}
		if b.toStore[name], err = faultproxy.Start(u.Host); err != nil {
			return err
		}
	}
	return nil
}

// env returns the environment of a program, with the addresses of its proxies.
func (b *testbed) env(name string) []string {
	r := roleOf(name)
	env := append(os.Environ(), "NATS_URL="+b.server.url(r, b.toNATS[name].Addr()), "GLEANER_LOG_LEVEL=debug")
	switch {
	case name == otherSink:
		return append(env, "MONGODB_URI="+b.otherStore())
	case r == consumerRole:
		return append(env, "MONGODB_URI=")
	case b.toStore[name] == nil:
		return append(env, "MONGODB_URI="+b.storeURI)
	}
	u, _ := url.Parse(b.storeURI) // it has a proxy, so it was parsed
	u.Host = b.toStore[name].Addr()
	return append(env, "MONGODB_URI="+u.String())
}

// connect connects to the streams as one who may do everything.
func (b *testbed) connect(ctx context.Context) (*stream.Conn, error) {
	return stream.Connect(ctx, stream.Config{URL: b.server.url(chaosRole, b.server.addr), Name: "chaos"})
}

// start starts a program, the first of args, that is kept running until done.
func (b *testbed) start(name string, done func(int) bool, args ...string) error {
	log, err := b.log(name)
	if err == nil {
		args[0] = filepath.Join(b.bin, args[0])
		b.programs[name] = newProcess(processConfig{name: name, log: log, env: b.env(name), done: done, args: args})
	}
	return err
}

// startWorkers starts the programs that wait for a run.
func (b *testbed) startWorkers() error {
	for i := range sinks {
		if err := b.start(fmt.Sprintf("sink-%d", i+1), nil, "sink", "serve", "--lease", sinkHold.String(), "--flush-every", flushEvery); err != nil {
			return err
		}
	}
	for i := range consumers {
		var urls []string
		for _, o := range b.ollamas[i*gpusEach : (i+1)*gpusEach] {
			urls = append(urls, "http://"+o.addr)
		}
		err := b.start(fmt.Sprintf("consumer-%d", i+1), nil, "consumer", "--run", run, "--ollama", strings.Join(urls, ","),
			"--slots", fmt.Sprint(slots), "--stay", "--first-token", firstToken.String(), "--stall", stall.String(), "--answer-limit", answerLimit.String(),
			"--rest", rest.String(), "--grace", grace)
		if err != nil {
			return err
		}
	}
	return nil
}

// startProducer publishes the run, which is loaded, and follows it.
func (b *testbed) startProducer() error {
	return b.start("producer", complete, "producer", "publish", "--run", run, "--follow", "--max-failures", "off", "--lease", lease.String(), "--window", window)
}

// complete reports whether an exit code of the producer means that every generation is stored or
// in a dead letter.
func complete(code int) bool { return code == 0 || code == 3 }

// runOnce runs a program beside the others, and returns its exit code and standard output. If kill
// is not 0 and the program runs longer than that, it is killed.
func (b *testbed) runOnce(ctx context.Context, name string, kill time.Duration, program string, args ...string) (int, []byte, error) {
	log, err := b.log(name)
	if err != nil {
		return 0, nil, err
	}
	if kill > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, kill) // and then it is killed, as with kill -9
		defer cancel()
	}
	cmd := exec.CommandContext(ctx, filepath.Join(b.bin, program), args...)
	cmd.Env, cmd.Stderr = b.env(name), log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) || errors.Is(err, context.DeadlineExceeded) {
		err = nil
	}
	fmt.Fprintf(log, "--- %s %v: %v\n%s\n", program, args, cmd.ProcessState, out)
	return cmd.ProcessState.ExitCode(), out, err
}

// loadArgs returns the arguments of the producer that load a file of rows.
func loadArgs(name, file string) []string {
	return []string{"load", "--run", name, "--input", file, "--field", "question", "--simulate", "--model", model}
}

// requests returns how many requests the GPUs of a consumer have got.
func (b *testbed) requests(target string) (n int) {
	var i int
	if _, err := fmt.Sscanf(target, "consumer-%d", &i); err != nil {
		return 0
	}
	for _, o := range b.ollamas[(i-1)*gpusEach : i*gpusEach] {
		n += o.requests()
	}
	return n
}

// close ends everything, whatever state it is in, and waits for it.
func (b *testbed) close() error {
	for _, program := range b.programs {
		program.end(syscall.SIGKILL, diesWithin)
	}
	if b.store != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		_ = b.store.DeleteRun(ctx, run, nil) // the next seed does it otherwise
		_ = b.store.Close()
	}
	if b.admin != nil {
		b.admin.Close()
	}
	if b.nats != nil {
		b.nats.end(syscall.SIGKILL, diesWithin)
	}
	for _, o := range b.ollamas {
		o.stop()
	}
	for _, all := range []map[string]*faultproxy.Proxy{b.toNATS, b.toStore} {
		for _, x := range all {
			x.Close()
		}
	}
	var errs []error
	for _, f := range b.logs {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

func isNoRun(err error) bool { return errors.Is(err, pipeline.ErrNoRun) }
