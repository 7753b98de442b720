package local_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gleaner/internal/cli/processtest"
	"gleaner/internal/faultproxy"
	"gleaner/internal/natsd"
	"gleaner/internal/ollamasim"
	"gleaner/internal/ollamasim/simtest"
	"gleaner/internal/pipeline"
)

// planned is the part of the JSON of producer plan that the tests read.
type planned struct {
	Batches int              `json:"batches"`
	Seconds float64          `json:"seconds"`
	Traffic pipeline.Traffic `json:"traffic"`
	Parts   []struct {
		What string `json:"what"`
		pipeline.Traffic
	} `json:"traffic_parts"`
	PerBatch pipeline.Traffic   `json:"traffic_of_batches"`
	Database map[string]float64 `json:"database"`
}

// A planRun is what the programs of a comparison run on.
type planRun struct {
	*programs
	nats  *natsd.Server
	proxy *faultproxy.Proxy
	lease string
}

// newPlanRun starts a NATS server behind a proxy that counts, and two simulated GPUs, which
// are this many times faster than a T4.
func newPlanRun(t testing.TB, uri string, speed float64, instant bool, lease string) (*planRun, string) {
	t.Helper()
	p := build(t, uri)
	server, err := natsd.Start(natsd.Config{Dir: t.TempDir(), Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	between, err := faultproxy.Start(strings.TrimPrefix(server.URL(), "nats://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(between.Close)
	var gpus []string
	for range 2 {
		_, url := simtest.Start(t, ollamasim.Config{Models: []string{"sim"}, Slots: 8, Speed: speed, Instant: instant, ChunkEvery: 100 * time.Millisecond})
		gpus = append(gpus, url)
	}
	p.env = append(p.env, "NATS_URL=nats://"+between.Addr())
	return &planRun{p, server, between, lease}, strings.Join(gpus, ",")
}

func (p *planRun) plan(args ...string) planned {
	p.t.Helper()
	var e planned
	if err := json.Unmarshal(p.run("producer", append([]string{"plan", "--json", "--lease", p.lease}, args...)...), &e); err != nil {
		p.t.Fatal(err)
	}
	return e
}

func (p *planRun) load(spec []string, args ...string) {
	p.t.Helper()
	p.run("producer", slices.Concat([]string{"load"}, spec, args)...)
}

// generate takes a loaded run from the first batch to the last answer and stops all programs.
func (p *planRun) generate(run, gpus string) {
	p.t.Helper()
	sink := p.start("sink", "serve")
	publish := p.start("producer", "publish", "--run", run, "--follow", "--lease", p.lease)
	consumer := p.start("consumer", "--run", run, "--ollama", gpus, "--slots", "8")
	if err := publish.Cmd.Wait(); err != nil { // however long it takes
		p.t.Fatalf("producer publish: %v\n%s", err, publish.Said())
	}
	for _, running := range []*processtest.Process{consumer, sink} {
		if err := running.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
			p.t.Fatal(err)
		}
		if code := running.Wait(); code != 0 {
			p.t.Errorf("%s ended with %d:\n%s", running.Cmd.Args, code, running.Said())
		}
	}
}

// What a batch costs does not depend on how long anything takes. It is compared with what an
// observer sees on the subjects; internal/stream tests that the meter counts the rest correctly.
func TestAPlanKnowsWhatBatchesCost(t *testing.T) {
	p, gpus := newPlanRun(t, "sqlite:"+filepath.Join(t.TempDir(), "gleaner.db"), 1, true, "90s")
	data := rows(t)
	spec := []string{"--input", data, "--field", "question", "--simulate", "--model", "sim"}
	p.load(spec, "--run", "sample", "--limit", "20")
	p.generate("sample", gpus)

	e := p.plan(slices.Concat(spec, []string{"--like", "sample"})...)
	p.load(spec, "--run", "words")
	seen := watch(t, p.nats.URL())
	p.generate("words", gpus)
	if got := p.plan("--run", "words"); got.Batches != e.Batches {
		t.Errorf("the plan of the dataset has %d batches, the loaded run %d", e.Batches, got.Batches)
	}
	is := seen()
	if is.works != int64(e.Batches) || is.results != int64(e.Batches) {
		t.Errorf("%d batches and %d messages of results were published, the plan has %d batches", is.works, is.results, e.Batches)
	}
	if want := float64(7*is.works + 4*is.results); e.PerBatch.Messages != want {
		t.Errorf("the plan counts %.0f messages for the batches, want %.0f", e.PerBatch.Messages, want)
	}
	// Each is sent twice, and with it go a pull, two confirmations, two acknowledgements and a sign of
	// life.
	if want := float64(2*is.bytes) + float64(is.works)*(62+2*38+8+4); math.Abs(e.PerBatch.Bytes-want) > 0.1*want {
		t.Errorf("the plan counts %.0f bytes for the batches, want %.0f", e.PerBatch.Bytes, want)
	}
}

// seen is what an observer counted.
type seen struct{ works, results, bytes int64 }

// watch counts what is published from now on. The returned function ends it.
func watch(t testing.TB, url string) func() seen {
	t.Helper()
	closed := make(chan struct{})
	nc, err := nats.Connect(url, nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	var works, results, bytes atomic.Int64
	for subject, count := range map[string]*atomic.Int64{"gleaner.work.>": &works, "gleaner.result.>": &results} {
		// Only what is published: a delivery has another subject for its ack than the publisher's
		// inbox.
		_, err := nc.Subscribe(subject, func(m *nats.Msg) {
			if !strings.HasPrefix(m.Reply, "$JS.ACK.") {
				count.Add(1)
				bytes.Add(int64(m.Size() - len(m.Subject) - len(m.Reply)))
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return func() seen {
		if err := nc.Drain(); err != nil { // what has come is counted before it closes
			t.Fatal(err)
		}
		<-closed
		return seen{works.Load(), results.Load(), bytes.Load()}
	}
}

// watchAPI logs what is asked of JetStream from now on. The returned function ends it and returns
// how much that was.
func watchAPI(t testing.TB, url string) func() pipeline.Traffic {
	t.Helper()
	closed := make(chan struct{})
	nc, err := nats.Connect(url, nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	var sum pipeline.Traffic
	calls := map[string]int{}
	_, err = nc.Subscribe("$JS.API.>", func(m *nats.Msg) {
		sum = sum.Plus(pipeline.Traffic{Messages: 1, Bytes: float64(len(m.Data))})
		tokens := strings.Split(m.Subject, ".")
		calls[strings.Join(tokens[2:min(len(tokens), 5)], ".")]++
	})
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() pipeline.Traffic {
		if err := nc.Drain(); err != nil {
			t.Fatal(err)
		}
		<-closed
		for _, call := range slices.Sorted(maps.Keys(calls)) {
			t.Logf("%6d × %s", calls[call], call)
		}
		return sum
	}
}

// A whole run beside its plan: GLEANER_PLAN_DATASET names a JSON Lines file with a column
// question, such as GSM8K's train.jsonl. Time runs ten times faster than on T4s and leases are
// ten times shorter, so that they are renewed as often for each batch as in reality. It takes
// minutes, so it is no test; MONGODB_URI, if set, is the store:
//
//	GLEANER_PLAN_DATASET=train.jsonl go test ./internal/local -run - -bench AgainstARun -benchtime 1x
func BenchmarkAPlanAgainstARun(t *testing.B) {
	data := os.Getenv("GLEANER_PLAN_DATASET")
	if data == "" {
		t.Skip("GLEANER_PLAN_DATASET is not set")
	}
	uri := os.Getenv("MONGODB_URI")
	if uri == "" {
		uri = "sqlite:" + filepath.Join(t.TempDir(), "gleaner.db")
	}
	p, gpus := newPlanRun(t, uri, 10, false, "9s")
	spec := []string{"--input", data, "--field", "question", "--simulate", "--model", "sim"}
	name := fmt.Sprintf("plan-%d", time.Now().Unix())
	p.load(spec, "--run", name+"-sample", "--limit", "200")
	p.generate(name+"-sample", gpus)
	e := p.plan(slices.Concat(spec, []string{"--run", name, "--like", name + "-sample"})...)
	p.load(spec, "--run", name)

	now := func() pipeline.Traffic {
		count, err := p.nats.Count()
		if err != nil {
			t.Fatal(err)
		}
		return pipeline.Traffic{Messages: float64(count.Messages), Bytes: float64(count.Bytes), Wire: float64(p.proxy.Carried())}
	}
	before, began := now(), time.Now()
	asked := watchAPI(t, p.nats.URL())
	p.generate(name, gpus)
	took := time.Since(began)
	is := now().Plus(before.Times(-1)).Plus(asked().Times(-1)) // the observer connects past the proxy, but is counted
	for _, part := range e.Parts {
		t.Logf("%-32s %8.0f messages %10.0f bytes %10.0f on the wire", part.What, part.Messages, part.Bytes, part.Wire)
	}
	t.Logf("%-32s %8.0f messages %10.0f bytes %10.0f on the wire in %.0f s", "plan", e.Traffic.Messages, e.Traffic.Bytes, e.Traffic.Wire, e.Seconds)
	t.Logf("%-32s %8.0f messages %10.0f bytes %10.0f on the wire in %.0f s", "run", is.Messages, is.Bytes, is.Wire, took.Seconds())
	for what, ratio := range map[string]float64{"messages": e.Traffic.Messages / is.Messages, "bytes": e.Traffic.Bytes / is.Bytes, "bytes on the wire": e.Traffic.Wire / is.Wire} {
		t.Logf("%s: plan / run = %.3f", what, ratio)
		if math.Abs(ratio-1) > 0.1 {
			t.Errorf("the plan's %s are off by more than 10 %%: %.3f of the run's", what, ratio)
		}
	}
	t.Logf("the plan's database: %v", e.Database)
}
