package stream

import (
	"math"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gleaner/internal/natsd"
	"gleaner/internal/natsd/natsdtest"
	"gleaner/internal/pipeline"
)

// A meteredServer counts the bytes on its connections.
type meteredServer struct {
	nats.InProcessConnProvider
	bytes atomic.Int64
}

func (s *meteredServer) InProcessConn() (net.Conn, error) {
	conn, err := s.InProcessConnProvider.InProcessConn()
	return &meteredConn{conn, s}, err
}

type meteredConn struct {
	net.Conn
	s *meteredServer
}

func (c *meteredConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.s.bytes.Add(int64(n))
	return n, err
}

func (c *meteredConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.s.bytes.Add(int64(n))
	return n, err
}

// A counter says what was carried since the last call. It counts at the connection: the
// server counts a message only after it has delivered it, so its figures may lag one behind.
type counter struct {
	t      *testing.T
	conn   *Conn
	wire   *meteredServer
	before pipeline.Traffic
}

func (c *counter) now() pipeline.Traffic {
	count := c.conn.nc.Stats()
	return pipeline.Traffic{Messages: float64(count.InMsgs + count.OutMsgs), Bytes: float64(count.InBytes + count.OutBytes), Wire: float64(c.wire.bytes.Load())}
}

// since returns what was carried since the last call, when all of it has been counted.
func (c *counter) since() pipeline.Traffic {
	c.t.Helper()
	// A round trip behind everything that was sent.
	if err := c.conn.Healthy(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
	now := c.now()
	d := now.Plus(c.before.Times(-1))
	c.before = now
	return d
}

// The meter says what exchanges cost without making them. Here they are made, and the counters of
// the connection and the bytes on it say what they cost.
func TestTheMeterKnowsWhatExchangesCost(t *testing.T) {
	ctx := t.Context()
	server := natsdtest.Start(t, natsd.Config{})
	wire := &meteredServer{InProcessConnProvider: server}
	conn, err := Connect(ctx, Config{InProcess: wire, Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	run := pipeline.Run{Name: "metered", UID: "01J00000000000000000000000", Spec: pipeline.Spec{Model: "m"}}
	if err := conn.EnsureRun(ctx, run); err != nil {
		t.Fatal(err)
	}
	meter, err := NewTrafficMeter()
	if err != nil {
		t.Fatal(err)
	}
	source := conn.Work(run.Name)
	count := &counter{t: t, conn: conn, wire: wire}
	check := func(what string, n int, want pipeline.Traffic, do func() error) {
		t.Helper()
		count.since()
		for range n {
			if err := do(); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		}
		is := count.since()
		want = want.Times(float64(n))
		t.Logf("%-10s %5.0f messages, want %5.0f; %8.0f bytes, want %8.0f; %8.0f on the wire, want %8.0f", what, is.Messages, want.Messages, is.Bytes, want.Bytes, is.Wire, want.Wire)
		if is.Messages != want.Messages || off(is.Bytes, want.Bytes) > 0.06 || off(is.Wire, want.Wire) > 0.06 {
			t.Errorf("%s: counted %+v, the meter says %+v", what, is, want)
		}
	}

	words := strings.Fields("a baker makes fourteen trays of rolls every morning and sells them for two dollars each how much is left")
	text := func(r *rand.Rand, n int) string {
		var b strings.Builder
		for b.Len() < n {
			b.WriteString(words[r.IntN(len(words))] + " ")
		}
		return b.String()
	}
	batch := 0
	workOf := func(index int) pipeline.Work {
		r := rand.New(rand.NewPCG(1, uint64(index)))
		w := pipeline.Work{Run: run.Name, UID: run.UID, Batch: index, Round: 1, Model: "m", Options: pipeline.Options{NumPredict: 100}}
		for i := range 8 {
			w.Generations = append(w.Generations, pipeline.Generation{Index: i, Item: index*8 + i, Seed: r.IntN(1 << 31), Messages: pipeline.User(text(r, 400))})
		}
		return w
	}
	work, _, stored, err := meter.Work(workOf(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Publish(ctx, workOf(1)); err != nil {
		t.Fatal(err)
	}
	info, err := conn.js.Stream(ctx, WorkStream)
	if err != nil {
		t.Fatal(err)
	}
	if is := info.CachedInfo().State.Bytes; off(float64(is), float64(stored)) > 0.05 {
		t.Errorf("a batch takes %d bytes on its stream, the meter says %d", is, stored)
	}
	if d, err := source.Next(ctx); err != nil || d.Ack(ctx) != nil {
		t.Fatal(err)
	}
	var held pipeline.Delivery[pipeline.Work]
	check("work", 50, work, func() error {
		batch++
		if err := conn.Publish(ctx, workOf(batch)); err != nil {
			return err
		}
		if held, err = source.Next(ctx); err != nil {
			return err
		}
		return held.Ack(ctx)
	})

	if err := conn.Publish(ctx, workOf(0)); err != nil {
		t.Fatal(err)
	}
	if held, err = source.Next(ctx); err != nil {
		t.Fatal(err)
	}
	check("renewal", 20, meter.Renewal(run.Name), func() error { return held.Extend(ctx) })

	r := rand.New(rand.NewPCG(2, 2))
	answers := pipeline.Results{Run: run.Name, UID: run.UID, Batch: 1, Round: 1, Consumer: run.UID, GPU: "127.0.0.1:11434"}
	for i := range 8 {
		answers.Results = append(answers.Results, pipeline.Result{Index: i, Item: 8 + i, Text: text(r, 300), Finish: "stop", PromptTokens: 100, OutputTokens: 80, DurationMS: 4321, CreatedAt: time.Now().UTC()})
	}
	results, _, err := meter.Results(answers)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Results(ctx, 1, time.Millisecond); err != nil { // it looks up its durable
		t.Fatal(err)
	}
	check("results", 20, results.Times(10).Plus(meter.SinkPull(time.Second)), func() error {
		for i := range 10 {
			answers.Batch = i
			if err := conn.PublishResults(ctx, answers); err != nil {
				return err
			}
		}
		deliveries, err := conn.Results(ctx, 128, 200*time.Millisecond)
		if err == nil && len(deliveries) != 10 {
			t.Fatalf("%d deliveries", len(deliveries))
		}
		for _, d := range deliveries {
			if err := d.Ack(ctx); err != nil {
				return err
			}
		}
		return err
	})

	presence := pipeline.Presence{ID: run.UID, Run: run.Name, Host: "notebook", Version: "v1.0.0", Model: "m", Started: time.Now(), Seen: time.Now()}
	for range 2 {
		presence.GPUs = append(presence.GPUs, pipeline.GPUStatus{Name: "GPU", State: "serving", Slots: 8, Busy: 8, TokensPerSecond: 160.123456})
	}
	cost, err := meter.Presence(presence)
	if err != nil {
		t.Fatal(err)
	}
	check("presence", 20, cost, func() error { return conn.PutPresence(ctx, presence) })
	if _, err := conn.Consumers(ctx); err != nil {
		t.Fatal(err)
	}
	heard, err := meter.Heard(presence)
	if err != nil {
		t.Fatal(err)
	}
	check("presence that is heard", 20, cost.Plus(heard), func() error {
		if err := conn.PutPresence(ctx, presence); err != nil {
			return err
		}
		_, err := conn.Consumers(ctx)
		return err
	})
	_ = conn.roster.sub.Unsubscribe()

	check("look", 20, meter.Look(run.Name), func() error { _, err := conn.RunInfo(ctx, run.Name); return err })
	if err := conn.PublishResults(ctx, answers); err != nil {
		t.Fatal(err)
	}
	check("depth", 20, meter.Depth(run.Name), func() error { _, err := conn.Depth(ctx, run.Name); return err })
	check("ensure", 20, meter.Ensure(run.Name), func() error { return conn.EnsureRun(ctx, run) })
	for i := range 500 {
		if err := conn.Publish(ctx, workOf(1000+i)); err != nil {
			t.Fatal(err)
		}
	}
	check("queued", 5, meter.Queued(run.Name, 501), func() error { _, err := conn.Queued(ctx, run.Name); return err })
}

// off returns how far a figure is from the right one, as a share.
func off(is, want float64) float64 { return math.Abs(is-want) / want }
