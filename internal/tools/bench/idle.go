package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"golang.org/x/sync/errgroup"

	"gleaner/internal/consumer"
	"gleaner/internal/faultproxy"
	"gleaner/internal/ollamasim"
	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
	"gleaner/internal/producer"
	"gleaner/internal/reconcile"
	"gleaner/internal/sink"
	"gleaner/internal/stream"
	"gleaner/internal/view"
)

const idleName = "idle"

const (
	idleTarget = 0.1             // GiB a month, of each program
	idleSettle = 5 * time.Minute // after which all that a program does soon after work has become seldom
	month      = 30 * 24 * time.Hour
)

const idleWhat = "Traffic of each program while a run is open and there is no work: bytes on TCP in both directions between the program and NATS,\n" +
	"subjects, protocol and pings included, multiplied to 30 days. The one batch of the run is held by somebody else."

// An Idle is what programs without work send and receive.
type Idle struct {
	What     string        `json:"what"`
	Measured string        `json:"measured"` // how long
	GPUs     int           `json:"gpus"`     // of the consumer
	Programs []IdleProgram `json:"programs"`
}

// An IdleProgram is one program.
type IdleProgram struct {
	Name   string  `json:"name"`
	Bytes  int64   `json:"bytes"`
	Month  float64 `json:"gib_a_month"`
	Target float64 `json:"target"`
}

// measureIdle lets a consumer, a sink and a process that follows the run be idle for this long,
// after they have settled.
func measureIdle(ctx context.Context, dir string, long time.Duration, quick bool, logf func(string, ...any)) (*Idle, error) {
	settle := idleSettle
	if quick {
		settle, long = time.Second, time.Second
	}
	logf("idle: %s, after %s in which the programs settle", view.Duration(long), view.Duration(settle))
	b, err := newTestbed(ctx, testbedConfig{dir: dir, storeURI: "sqlite:" + filepath.Join(dir, "gleaner.db")})
	if err != nil {
		return nil, err
	}
	defer b.close()
	preflight, err := producer.RunPreflight(ctx, idleName, spec(), rowsDataset(1), nil)
	if err != nil {
		return nil, err
	}
	run, _, err := producer.Load(ctx, b.store, preflight, ulid.Make().String(), nil)
	if err != nil {
		return nil, err
	}
	running, cancel := context.WithCancel(ctx)
	group, running := errgroup.WithContext(running)
	defer func() { cancel(); _ = group.Wait() }()
	programs, err := b.idlePrograms(running, run)
	if err != nil {
		return nil, err
	}
	if err := b.holdTheBatch(running, group, run); err != nil {
		return nil, err
	}
	for _, p := range programs {
		group.Go(func() error { return p.run(running) })
		defer p.proxy.Close()
	}
	if err := outage.Sleep(running, settle); err != nil {
		return nil, errors.Join(ctx.Err(), group.Wait())
	}
	before := make([]int64, len(programs))
	for i, p := range programs {
		before[i] = p.proxy.Carried()
	}
	if err := outage.Sleep(running, long); err != nil {
		return nil, errors.Join(ctx.Err(), group.Wait())
	}
	idle := &Idle{What: idleWhat, Measured: long.String(), GPUs: gpusPerConsumer}
	for i, p := range programs {
		bytes := p.proxy.Carried() - before[i]
		idle.Programs = append(idle.Programs, IdleProgram{
			Name: p.name, Bytes: bytes, Target: idleTarget, Month: float64(bytes) * float64(month) / float64(long) / (1 << 30),
		})
	}
	return idle, nil
}

// An idleProgram is a program with a network of its own, which counts.
type idleProgram struct {
	name  string
	proxy *faultproxy.Proxy
	run   func(ctx context.Context) error
}

// idlePrograms returns a process that follows the run, a sink and a consumer.
func (b *testbed) idlePrograms(ctx context.Context, run pipeline.Run) ([]idleProgram, error) {
	var programs []idleProgram
	for name, start := range map[string]func(*stream.Conn) (func(context.Context) error, error){
		"a process that follows the run": func(conn *stream.Conn) (func(context.Context) error, error) {
			publisher, err := producer.NewPublisher(producer.Config{}, b.store, conn)
			if err != nil {
				return nil, err
			}
			engine, err := reconcile.New(reconcile.Config{}, b.store, conn, producer.BuildFrom(b.store))
			return func(ctx context.Context) error {
				_, err := publisher.FollowToEnd(ctx, run, engine, nil)
				return err
			}, err
		},
		"a sink": func(conn *stream.Conn) (func(context.Context) error, error) {
			engine, err := sink.New(sink.Config{}, conn, b.store)
			return engine.Run, err
		},
		"a consumer": func(conn *stream.Conn) (func(context.Context) error, error) {
			var gpus []consumer.LaneConfig
			for i := range gpusPerConsumer {
				gpus = append(gpus, consumer.LaneConfig{
					Name: fmt.Sprintf("simulated GPU %d", i), Slots: gpuSlots,
					Backend: &timed{gpu: ollamasim.NewGPU(gpuSlots, func(int) float64 { return slotRate }), trace: &trace{}},
				})
			}
			engine, err := consumer.New(consumer.Config{
				Identity: pipeline.Presence{ID: ulid.Make().String(), Run: run.Name, Model: run.Spec.Model, Host: "notebook", Version: "v1.0.0"},
				Info:     func(ctx context.Context) (pipeline.RunInfo, error) { return conn.RunInfo(ctx, run.Name) },
			}, func() consumer.WorkQueue { return conn.Work(run.Name) }, conn, gpus)
			return engine.Run, err
		},
	} {
		proxy, err := faultproxy.Start(strings.TrimPrefix(b.nats.URL(), "nats://"))
		if err != nil {
			return nil, err
		}
		conn, err := stream.Connect(ctx, stream.Config{URL: "nats://" + proxy.Addr(), Name: name})
		if err != nil {
			return nil, err
		}
		b.conns = append(b.conns, conn)
		p := idleProgram{name: name, proxy: proxy}
		if p.run, err = start(conn); err != nil {
			return nil, err
		}
		programs = append(programs, p)
	}
	return programs, nil
}

// holdTheBatch publishes the run's only batch and keeps it.
func (b *testbed) holdTheBatch(ctx context.Context, group *errgroup.Group, run pipeline.Run) error {
	conn := b.conns[0]
	publisher, err := producer.NewPublisher(producer.Config{}, b.store, conn)
	if err != nil {
		return err
	}
	if err := publisher.Publish(ctx, run); err != nil {
		return err
	}
	held, err := conn.Work(run.Name).Next(ctx)
	if err != nil {
		return err
	}
	group.Go(func() error {
		for outage.Sleep(ctx, pipeline.DefaultLease/3) == nil {
			if err := held.Extend(ctx); err != nil && ctx.Err() == nil {
				return err
			}
		}
		return nil
	})
	return nil
}

func (i *Idle) print(w io.Writer) {
	var rows []string
	for _, p := range i.Programs {
		rows = append(rows, fmt.Sprintf("%s\t%s\t%.4f GiB\t%s", p.Name, view.Bytes(float64(p.Bytes)), p.Month, atMost(p.Month, p.Target)))
	}
	table(w, idleName, fmt.Sprintf("%s\nMeasured over %s; the consumer has %d GPUs.", i.What, i.Measured, i.GPUs), "PROGRAM\tMEASURED\tA MONTH\tTARGET", rows)
}
