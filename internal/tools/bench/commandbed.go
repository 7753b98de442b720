package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"gleaner/internal/natsd"
	"gleaner/internal/ollamasim"
	"gleaner/internal/ollamasim/disguisetest"
)

// buildPrograms builds the programs as they are shipped, and returns their folder.
func buildPrograms(ctx context.Context, dir string) (string, error) {
	bin := filepath.Join(dir, "bin")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", bin+string(filepath.Separator), "gleaner/producer", "gleaner/consumer", "gleaner/sink", "gleaner/deploy/gleaner")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the programs; outside of a checkout name theirs with --programs: %w\n%s", err, said)
	}
	return bin, nil
}

// A commandBed is what the programs of one measurement find: rows in a file, and model servers.
type commandBed struct {
	dir, bin string
	rows     string
	urls     string
	trace    trace
	used     time.Duration // of processors, by the programs
	servers  []*http.Server
	sims     []*ollamasim.Server
}

func newCommandBed(ctx context.Context, cfg commandConfig, dir string, tokens []int) (b *commandBed, err error) {
	b = &commandBed{dir: dir, rows: filepath.Join(dir, "rows.jsonl")}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	if b.bin, err = filepath.Abs(cfg.programs); err != nil {
		return b, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return b, err
	}
	var lines bytes.Buffer
	for i := range tokens {
		lines.Write(append(row(i), '\n'))
	}
	if err := os.WriteFile(b.rows, lines.Bytes(), 0o600); err != nil {
		return b, err
	}
	var urls []string
	for range commandGPUs {
		url, err := b.serve(ctx, cfg.speedup, tokens)
		if err != nil {
			return b, err
		}
		urls = append(urls, url)
	}
	b.urls = strings.Join(urls, ",")
	return b, nil
}

// serve starts a model server that programs take for a real one, and returns its address.
func (b *commandBed) serve(ctx context.Context, speedup float64, tokens []int) (string, error) {
	sim := ollamasim.New(ollamasim.Config{
		Slots: gpuSlots, Models: []string{commandModel}, Speed: speedup, ChunkEvery: 20 * time.Millisecond,
		TokensPerSecond: func(int) float64 { return slotRate },
		Lengths: func(prompt string, _ int) int {
			i, err := rowOf(prompt)
			if err != nil || i < 0 || i >= len(tokens) { // what is asked besides the rows
				return 1
			}
			b.trace.started()
			return tokens[i]
		},
		Watch: func(x ollamasim.Exchange) {
			if _, err := rowOf(x.Prompt); err == nil && x.Done {
				b.trace.ended()
			}
		},
	})
	b.sims = append(b.sims, sim)
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: disguisetest.Handler(sim), ReadHeaderTimeout: time.Minute}
	b.servers = append(b.servers, server)
	go func() { _ = server.Serve(listener) }() // until close
	return "http://" + listener.Addr().String(), nil
}

func (b *commandBed) close() {
	for i, server := range b.servers {
		b.sims[i].Close()
		_ = server.Close()
	}
}

// A launched program is one of the processes.
type launched struct {
	*exec.Cmd
	said bytes.Buffer
}

// command returns a process that is to be started, with no settings but these.
func (b *commandBed) command(ctx context.Context, env []string, name string, args ...string) *launched {
	p := &launched{Cmd: exec.CommandContext(ctx, filepath.Join(b.bin, name), args...)}
	p.Dir, p.Stdout, p.Stderr = b.dir, &p.said, &p.said
	for _, variable := range os.Environ() {
		switch name, _, _ := strings.Cut(variable, "="); {
		case strings.HasPrefix(name, "OLLAMA_"), strings.HasPrefix(name, "NATS_"), strings.HasPrefix(name, "GLEANER_"), name == "MONGODB_URI":
		default:
			p.Env = append(p.Env, variable)
		}
	}
	p.Env = append(p.Env, env...)
	return p
}

// end returns the error of a process that has ended, with what it said.
func (p *launched) end(err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(p.Args, " "), err, p.said.String())
	}
	return nil
}

// count adds what a program has used of the processors.
func (b *commandBed) count(p *launched) {
	if s := p.ProcessState; s != nil {
		b.used += s.UserTime() + s.SystemTime()
	}
}

// run runs gleaner run, and returns when it was started and when it had ended.
func (b *commandBed) run(ctx context.Context) (began, ended time.Time, err error) {
	run := b.command(ctx, nil, "gleaner", "run", "--input", b.rows, "--field", "question", "--model", commandModel, "--ollama", b.urls,
		"--slots", strconv.Itoa(gpuSlots), "--data", filepath.Join(b.dir, "data"))
	began = time.Now()
	err = run.Run()
	ended = time.Now()
	b.count(run)
	return began, ended, run.end(err)
}

// programs does the same with the three programs, beside a NATS server.
func (b *commandBed) programs(ctx context.Context) (began, ended time.Time, err error) {
	server, err := natsd.Start(natsd.Config{Dir: filepath.Join(b.dir, "nats"), Port: -1})
	if err != nil {
		return began, ended, err
	}
	defer server.Shutdown()
	env := []string{"NATS_URL=" + server.URL(), "MONGODB_URI=sqlite:" + filepath.Join(b.dir, "gleaner.db")}
	load := b.command(ctx, env, "producer", "load", "--run", commandName, "--input", b.rows, "--field", "question", "--model", commandModel)
	if err := load.end(load.Run()); err != nil {
		return began, ended, err
	}
	others, stop := context.WithCancel(ctx)
	defer stop()
	publish := b.command(ctx, env, "producer", "publish", "--run", commandName, "--follow")
	beside := []*launched{
		b.command(others, env, "sink", "serve"),
		b.command(others, env[:1], "consumer", "--run", commandName, "--ollama", b.urls, "--slots", strconv.Itoa(gpuSlots)),
	}
	began = time.Now()
	for i, p := range beside {
		if err := p.Start(); err != nil {
			return began, ended, err
		}
		defer func() {
			stop()
			_ = beside[i].Wait() // the sink is killed: it waits for the next run
			b.count(beside[i])
		}()
	}
	err = publish.Run()
	ended = time.Now()
	b.count(publish)
	return began, ended, publish.end(err)
}
