//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gleaner/internal/faultproxy"
	"gleaner/internal/store"
)

// What every seed runs.
const (
	run   = "chaos"
	model = "sim:latest"
	slots = 3  // of each GPU
	speed = 40 // times that of a T4: 2,000 generations take about ten seconds
)

// A plant is all processes of one seed, with a network of its own between each program and its
// servers.
type plant struct {
	dir      string // of this seed
	bin      string // the programs
	database *database
	uri      string // of the store, without a detour
	ledger   store.Store
	natsAddr string
	nats     *process
	admin    *nats.Conn // without a detour
	js       jetstream.JetStream
	ollamas  []*ollama // consumer 1's GPUs, consumer 2's, …
	programs map[string]*process
	toNATS   map[string]*faultproxy.Proxy // by program
	toStore  map[string]*faultproxy.Proxy
	logs     []*os.File
	sizes    map[string]int64 // of streams that are too small for now
}

// newPlant starts everything but the programs.
func newPlant(ctx context.Context, dir, bin, uri string, db *database) (p *plant, err error) {
	p = &plant{
		dir: dir, bin: bin, uri: uri, database: db, programs: map[string]*process{}, sizes: map[string]int64{},
		toNATS: map[string]*faultproxy.Proxy{}, toStore: map[string]*faultproxy.Proxy{},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	if p.natsAddr, err = freeAddr(); err != nil {
		return p, err
	}
	if err = p.startNATS(); err != nil {
		return p, err
	}
	if p.ledger, err = store.Open(ctx, uri); err != nil {
		return p, err
	}
	if err := p.ledger.DeleteRun(ctx, run, nil); err != nil && !isNoRun(err) {
		return p, err
	}
	for range consumers * gpusEach {
		o, err := startOllama()
		if err != nil {
			return p, err
		}
		p.ollamas = append(p.ollamas, o)
	}
	return p, nil
}

func freeAddr() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

func (p *plant) natsDir() string { return filepath.Join(p.dir, "nats") }

func (p *plant) startNATS() error {
	log, err := p.log("nats")
	if err != nil {
		return err
	}
	p.nats = newProcess("nats", log, os.Environ(), nil, filepath.Join(p.bin, "gleaner"), "nats", "--addr", p.natsAddr, "--data", p.natsDir(), "--no-sync-always")
	p.admin, err = nats.Connect("nats://"+p.natsAddr, nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	if err == nil {
		p.js, err = jetstream.New(p.admin)
	}
	return err
}

func (p *plant) log(name string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(p.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err == nil {
		p.logs = append(p.logs, f)
	}
	return f, err
}

// env returns the environment of a program, whose ways to its servers lead through proxies of its
// own.
func (p *plant) env(name string, storing bool) (env []string, err error) {
	if p.toNATS[name] == nil {
		if p.toNATS[name], err = faultproxy.Start(p.natsAddr); err != nil {
			return nil, err
		}
	}
	env = append(os.Environ(), "NATS_URL=nats://"+p.toNATS[name].Addr(), "MONGODB_URI=", "GLEANER_LOG_LEVEL=debug")
	if !storing {
		return env, nil
	}
	u, err := url.Parse(p.uri)
	if err != nil || u.Host == "" { // sqlite: a file needs no network
		return append(env, "MONGODB_URI="+p.uri), nil
	}
	if p.toStore[name] == nil {
		if p.toStore[name], err = faultproxy.Start(u.Host); err != nil {
			return nil, err
		}
	}
	u.Host = p.toStore[name].Addr()
	return append(env, "MONGODB_URI="+u.String()), nil
}

// start starts a program that is kept running.
func (p *plant) start(name string, storing bool, done func(int) bool, program string, args ...string) error {
	log, err := p.log(name)
	if err != nil {
		return err
	}
	env, err := p.env(name, storing)
	if err == nil {
		p.programs[name] = newProcess(name, log, env, done, append([]string{filepath.Join(p.bin, program)}, args...)...)
	}
	return err
}

// startPrograms starts the programs of a run that is loaded.
func (p *plant) startPrograms() error {
	for i := range sinks {
		if err := p.start(fmt.Sprintf("sink-%d", i+1), true, nil, "sink", "serve", "--lease", sinkHold.String(), "--flush-every", "200ms"); err != nil {
			return err
		}
	}
	for i := range consumers {
		var urls []string
		for _, o := range p.ollamas[i*gpusEach : (i+1)*gpusEach] {
			urls = append(urls, "http://"+o.addr)
		}
		err := p.start(fmt.Sprintf("consumer-%d", i+1), false, nil, "consumer", "--run", run, "--ollama", strings.Join(urls, ","),
			"--slots", fmt.Sprint(slots), "--stay", "--stall", stall.String(), "--rest", "1s", "--grace", "10s")
		if err != nil {
			return err
		}
	}
	return p.start("producer", true, settled, "producer", "publish", "--run", run, "--follow", "--lease", lease.String(), "--window", "300")
}

// settled says whether a code of the producer means that every generation has its end.
func settled(code int) bool { return code == 0 || code == 3 }

// once runs a program, beside the others, to its end or, if that is not 0, for so long, and
// returns its exit code and standard output.
func (p *plant) once(ctx context.Context, name string, kill time.Duration, program string, args ...string) (int, []byte, error) {
	log, err := p.log(name)
	if err != nil {
		return 0, nil, err
	}
	env, err := p.env(name, true)
	if err != nil {
		return 0, nil, err
	}
	if kill > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, kill) // and then it is killed, as with kill -9
		defer cancel()
	}
	cmd := exec.CommandContext(ctx, filepath.Join(p.bin, program), args...)
	cmd.Env, cmd.Stderr = env, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) || errors.Is(err, context.DeadlineExceeded) {
		err = nil
	}
	fmt.Fprintf(log, "--- %s %v: %v\n%s\n", program, args, cmd.ProcessState, out)
	return cmd.ProcessState.ExitCode(), out, err
}

// answers returns how many answers the models have completed.
func (p *plant) answers() (n int) {
	for _, o := range p.ollamas {
		n += o.stats().Answers
	}
	return n
}

// requests returns how many requests the GPUs of a consumer have got.
func (p *plant) requests(target string) (n int) {
	var i int
	if _, err := fmt.Sscanf(target, "consumer-%d", &i); err != nil {
		return 0
	}
	for _, o := range p.ollamas[(i-1)*gpusEach : i*gpusEach] {
		n += o.stats().Requests
	}
	return n
}

// close ends everything, whatever state it is in, and waits for it.
func (p *plant) close() error {
	for _, program := range p.programs {
		program.end(syscall.SIGKILL, time.Minute)
	}
	if p.ledger != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		_ = p.ledger.DeleteRun(ctx, run, nil) // the next seed does it otherwise
		_ = p.ledger.Close()
	}
	if p.admin != nil {
		p.admin.Close()
	}
	if p.nats != nil {
		p.nats.end(syscall.SIGKILL, time.Minute)
	}
	for _, o := range p.ollamas {
		o.stop()
	}
	for _, all := range []map[string]*faultproxy.Proxy{p.toNATS, p.toStore} {
		for _, x := range all {
			x.Close()
		}
	}
	var errs []error
	for _, f := range p.logs {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
