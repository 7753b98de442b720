package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gleaner/internal/faultproxy"
	"gleaner/internal/natsd/natsdtest"
	"gleaner/internal/pipeline"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
)

func TestBatchComesBackAsItWasPublished(t *testing.T) {
	c := ready(t, Config{})
	want := testWork("r", 42)
	want.Shared = pipeline.User(noise(3000)) // large enough to be compressed
	must(t, c.Publish(t.Context(), want))
	d := next(t, c.Work("r"))
	if diff := cmp.Diff(want, d.Body); diff != "" {
		t.Error(diff)
	}
	if d.Err != nil || d.Deliveries != 1 || d.Subject != "gleaner.work.r.0000042" {
		t.Errorf("%v, %d, %s", d.Err, d.Deliveries, d.Subject)
	}
	depthIs(t, c, "r", pipeline.StreamDepth{Held: 1})
	must(t, d.Ack(t.Context()))
	must(t, d.Ack(t.Context())) // again is harmless
	depthIs(t, c, "r", pipeline.StreamDepth{})
}

func TestEachWorkerHoldsOneBatchAlsoAfterReconnects(t *testing.T) {
	t.Parallel()
	server := serve(t)
	c := ready(t, Config{URL: server.URL()})
	for i := range 20 {
		must(t, c.Publish(t.Context(), testWork("r", i)))
	}
	const workers = 3
	source := c.Work("r")
	var held [workers]pipeline.Delivery[pipeline.Work]
	for range 3 {
		for i := range held {
			if held[i].Receipt != nil {
				must(t, held[i].Ack(t.Context()))
			}
			held[i] = next(t, source)
		}
		info, err := c.RunInfo(t.Context(), "r")
		must(t, err)
		if info.Held != workers {
			t.Errorf("%d held", info.Held)
		}
		server.Restart()
		eventually(t, func() bool { return c.Healthy(t.Context()) == nil }, func() string { return "no reconnect" })
	}
}

func TestNextWaitsForTheRunAndSaysSoOnce(t *testing.T) {
	log, logs := observed()
	server := serve(t)
	c := connect(t, Config{URL: server.URL(), Log: log})
	must(t, c.Ensure(t.Context()))
	source := c.Work("late")
	got := make(chan int)
	for range 3 {
		go func() { got <- next(t, source).Body.Batch }()
	}
	waits := func() bool { return logs.FilterMessage("waiting for the run").Len() > 0 }
	eventually(t, waits, func() string { return "it does not wait" })
	must(t, c.EnsureRun(t.Context(), testRun("late")))
	var batches []int
	for i := range 3 {
		must(t, c.Publish(t.Context(), testWork("late", i)))
		batches = append(batches, <-got)
	}
	slices.Sort(batches)
	if diff := cmp.Diff([]int{0, 1, 2}, batches); diff != "" {
		t.Error(diff)
	}
	if n := logs.FilterMessage("waiting for the run").Len(); n != 1 || logs.FilterMessage("the run is there").Len() != 1 {
		t.Errorf("said %d times: %v", n, logs.All())
	}
}

func TestNextComesBackWhenARunIsDeletedAndLoadedAgain(t *testing.T) {
	log, logs := observed()
	c := ready(t, Config{Log: log})
	source := c.Work("r")
	must(t, c.Publish(t.Context(), testWork("r", 0)))
	must(t, next(t, source).Ack(t.Context()))
	got := make(chan int)
	go func() { got <- next(t, source).Body.Batch }()
	pullsAre(t, c, WorkStream, "r", 1)
	must(t, c.RemoveRun(t.Context(), "r"))
	select {
	case <-c.Gone("r"):
	case <-time.After(time.Minute):
		t.Fatal("it is not told that the run is gone")
	}
	eventually(t, func() bool { return logs.FilterMessage("waiting for the run").Len() > 0 }, func() string { return "it does not notice" })
	must(t, c.EnsureRun(t.Context(), testRun("r")))
	must(t, c.Publish(t.Context(), testWork("r", 1)))
	if batch := <-got; batch != 1 {
		t.Errorf("batch %d", batch)
	}
}

func TestPausedRunDeliversNothingUntilItIsResumed(t *testing.T) {
	server := serve(t)
	c := ready(t, Config{URL: server.URL()})
	js := admin(t, server.URL())
	_, err := js.PauseConsumer(t.Context(), WorkStream, "r", time.Now().Add(time.Hour))
	must(t, err)
	must(t, c.Publish(t.Context(), testWork("r", 1)))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	source := c.Work("r")
	if d, err := source.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, %v", d.Subject, err)
	}
	got, began := make(chan error), time.Now()
	go func() {
		_, err := source.Next(t.Context()) // the place of the call that ended is still there
		got <- err
	}()
	must(t, c.ResumeRun(t.Context(), "r"))
	must(t, <-got)
	if took := time.Since(began); took > PullHeartbeat/2 {
		t.Errorf("a pull that waited got its message after %s: at its next heartbeat?", took)
	}
}

func TestNextEndsAtOnceAndItsPlaceGoesToTheNextCaller(t *testing.T) {
	c := ready(t, Config{})
	source := c.Work("r")
	for range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		go cancel()
		if _, err := source.Next(ctx); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	info, err := c.durableInfo(t.Context(), WorkStream, "r")
	must(t, err)
	if info.NumWaiting > 1 {
		t.Errorf("%d pulls wait", info.NumWaiting)
	}
	must(t, c.Publish(t.Context(), testWork("r", 1)))
	next(t, source)
}

func TestMessageForNobodyIsHandedBackAtOnce(t *testing.T) {
	server := serve(t)
	leaving, staying := ready(t, Config{URL: server.URL()}), connect(t, Config{URL: server.URL()})
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan struct{})
	go func() {
		defer close(left)
		_, _ = leaving.Work("r").Next(ctx)
	}()
	pullsAre(t, leaving, WorkStream, "r", 1)
	cancel()
	<-left
	must(t, staying.Publish(t.Context(), testWork("r", 1)))
	d := next(t, staying.Work("r")) // long before the lease of 90 s
	if d.Deliveries != 2 {
		t.Errorf("%d deliveries", d.Deliveries)
	}
}

func TestClosedConnectionLeavesNoPullBehind(t *testing.T) {
	server := serve(t)
	leaving, staying := ready(t, Config{URL: server.URL()}), connect(t, Config{URL: server.URL()})
	ended := make(chan error)
	const gpus = 4
	for range gpus {
		source := leaving.Work("r")
		go func() {
			_, err := source.Next(context.Background())
			ended <- err
		}()
	}
	pullsAre(t, leaving, WorkStream, "r", gpus)
	leaving.Close()
	for range gpus {
		wantError(t, <-ended, pipeline.Interrupted, "closed")
	}
	pullsAre(t, staying, WorkStream, "r", 0) // the server knows
	must(t, staying.Publish(t.Context(), testWork("r", 1)))
	if d := next(t, staying.Work("r")); d.Deliveries != 1 {
		t.Errorf("%d deliveries", d.Deliveries)
	}
}

func TestExtendKeepsABatchBeyondItsLease(t *testing.T) {
	t.Parallel()
	const lease = time.Second
	c := ready(t, Config{Lease: lease})
	must(t, c.Publish(t.Context(), testWork("r", 1)))
	source := c.Work("r")
	d := next(t, source)
	taken := time.Now()
	other := make(chan time.Time)
	go func() {
		next(t, source)
		other <- time.Now()
	}()
	var last time.Time
	for time.Since(taken) < 3*lease/2 {
		<-time.After(lease / 4)
		must(t, d.Extend(t.Context()))
		last = time.Now()
		select {
		case <-other:
			t.Fatal("another worker got it")
		default:
		}
	}
	if at := <-other; at.Sub(last) < lease/2 {
		t.Errorf("another worker got it %s after the last extension", at.Sub(last))
	}
}

// A server that starts again counts a delivery from the time at which its message was published,
// unless it was told in between that somebody works on it.
func TestABatchThatWaitedForLongIsHeldAcrossARestartOfTheServer(t *testing.T) {
	t.Parallel()
	const lease = 4 * time.Second
	server := serve(t)
	c := ready(t, Config{URL: server.URL(), Lease: lease})
	must(t, c.Publish(t.Context(), testWork("r", 1)))
	<-time.After(lease + 500*time.Millisecond)
	source := c.Work("r")
	before := time.Now()
	d := next(t, source)
	must(t, c.nc.Flush())
	server.Restart()
	again := next(t, source) // whole seconds are on the disk, so it may come one and a half earlier
	if held := time.Since(before); held < lease-3*time.Second/2 {
		t.Errorf("the batch went to another worker after %s", held)
	}
	must(t, again.Ack(t.Context()))
	must(t, d.Ack(t.Context()))
}

func TestWhoLostTheLeaseMayAckButNotHandBack(t *testing.T) {
	t.Parallel()
	c := ready(t, Config{Lease: time.Second})
	must(t, c.Publish(t.Context(), testWork("r", 1)))
	source := c.Work("r")
	zombie := next(t, source)
	holder := next(t, source) // the lease is over
	if zombie.Body.Batch != holder.Body.Batch || holder.Deliveries != 2 {
		t.Errorf("batch %d, %d deliveries", holder.Body.Batch, holder.Deliveries)
	}
	for name, err := range map[string]error{
		"hand back": zombie.HandBack(t.Context(), 0), "reject": zombie.Reject(t.Context(), "x"), "extend": zombie.Extend(t.Context()),
	} {
		if !errors.Is(err, pipeline.ErrLeaseLost) {
			t.Errorf("%s: %v", name, err)
		}
	}
	depthIs(t, c, "r", pipeline.StreamDepth{Held: 1})
	must(t, zombie.Ack(t.Context()))
	depthIs(t, c, "r", pipeline.StreamDepth{})
	must(t, holder.Ack(t.Context()))
	must(t, c.Publish(t.Context(), testWork("r", 2)))
	must(t, next(t, source).Ack(t.Context()))
}

func TestHandBackWaitsForItsDelay(t *testing.T) {
	t.Parallel()
	c := ready(t, Config{})
	must(t, c.Publish(t.Context(), testWork("r", 1)))
	source := c.Work("r")
	d := next(t, source)
	const delay = 300 * time.Millisecond
	before := time.Now()
	must(t, d.HandBack(t.Context(), delay))
	d = next(t, source)
	if took := time.Since(before); took < delay || d.Deliveries != 2 {
		t.Errorf("after %s, %d deliveries", took, d.Deliveries)
	}
	must(t, d.HandBack(t.Context(), 0))
	next(t, source) // before its lease would have ended
}

func TestHandBackWithoutAConnectionIsNotSentLate(t *testing.T) {
	t.Parallel()
	server := serve(t)
	log, said := observed()
	c := ready(t, Config{URL: server.URL(), Lease: time.Second, Log: log})
	must(t, c.Publish(t.Context(), testWork("r", 1)))
	d := next(t, c.Work("r"))
	server.Shutdown()
	// The log says so when every call under way has ended: from then on nothing is sent.
	lost := func() bool {
		return said.FilterMessage("lost the connection to NATS, trying to connect again").Len() > 0
	}
	eventually(t, lost, func() string { return "still connected" })
	if err := d.HandBack(t.Context(), time.Hour); !errors.Is(err, pipeline.ErrLeaseLost) {
		t.Error(err)
	}
	server.Restart()
	next(t, c.Work("r")) // in an hour, had the hand-back been sent
}

// An ack that is on its way when the connection becomes half-open is confirmed on the next one.
func TestAnAckOutlivesAHalfOpenConnection(t *testing.T) {
	t.Parallel()
	server := serve(t)
	network, err := faultproxy.Start(strings.TrimPrefix(server.URL(), "nats://"))
	must(t, err)
	t.Cleanup(network.Close)
	c := ready(t, Config{URL: "nats://" + network.Addr()})
	must(t, c.Publish(t.Context(), testWork("r", 1)))
	d := next(t, c.Work("r"))
	network.Freeze()
	must(t, d.Ack(t.Context()))
	depthIs(t, c, "r", pipeline.StreamDepth{})
}

func TestAckOfARunThatWasRemovedIsAnErrorNotAWait(t *testing.T) {
	t.Parallel()
	c := ready(t, Config{})
	must(t, c.Publish(t.Context(), testWork("r", 1)))
	d := next(t, c.Work("r"))
	must(t, c.RemoveRun(t.Context(), "r"))
	if err := d.Ack(t.Context()); err == nil {
		t.Error("no error")
	}
}

func TestNothingIsLostWhenTheServerRestartsInTheMiddle(t *testing.T) {
	t.Parallel()
	server := serve(t)
	const n = 400
	// An ack that a restart swallows costs a lease.
	c := ready(t, Config{URL: server.URL(), Lease: 2 * time.Second, SinkLease: 2 * time.Second})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var group sync.WaitGroup
	group.Go(func() { // the producer
		for i := range n {
			if err := c.Publish(ctx, testWork("r", i)); err != nil && !errors.Is(err, pipeline.ErrOutstanding) {
				t.Errorf("batch %d: %v", i, err)
			}
		}
	})
	source := c.Work("r")
	for range 4 {
		group.Go(func() { // a worker
			for {
				d, err := source.Next(ctx)
				if err != nil {
					return
				}
				if c.PublishResults(ctx, testResults("r", d.Body.Batch, fmt.Sprint(d.Body.Batch))) == nil {
					_ = d.Ack(ctx) // unconfirmed: it is delivered and done again
				}
			}
		})
	}
	stored := map[int]bool{}
	restarts := 0
	for deadline := time.Now().Add(60 * time.Second); len(stored) < n; {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d stored", len(stored), n)
		}
		results, err := c.Results(ctx, 50, 50*time.Millisecond)
		if err != nil {
			continue // the server is away
		}
		for _, d := range results {
			must(t, d.Err)
			stored[d.Body.Batch] = true
			_ = d.Ack(ctx) // unsent: it is delivered and stored again
		}
		if len(stored) > (restarts+1)*n/4 && restarts < 3 {
			restarts++
			server.Restart()
		}
	}
	// Everything is acknowledged in the end. A server that stops between an ack and the removal
	// may keep the message, which it never delivers again: so this asks the durables, and
	// does not count the messages on the streams.
	var left string
	drain := func() bool {
		results, pulled := c.Results(ctx, 50, 100*time.Millisecond)
		for _, d := range results {
			_ = d.Ack(ctx)
		}
		work, looked := c.RunInfo(ctx, "r")
		sink, asked := c.durableInfo(ctx, ResultsStream, sinkDurable)
		if err := errors.Join(pulled, looked, asked); err != nil {
			left = err.Error()
			return false
		}
		left = fmt.Sprintf("%d and %d batches, %d and %d results wait and are held", work.Waiting, work.Held, sink.NumPending, sink.NumAckPending)
		return work.Waiting == 0 && work.Held == 0 && sink.NumPending == 0 && sink.NumAckPending == 0
	}
	eventually(t, drain, func() string { return left })
	cancel()
	group.Wait()
	if restarts != 3 {
		t.Errorf("%d restarts", restarts)
	}
}

func TestResultsAreBoundedAndWaitNoLongerThanAsked(t *testing.T) {
	c := ready(t, Config{})
	for i := range 10 {
		must(t, c.PublishResults(t.Context(), testResults("r", i, "x")))
	}
	for _, step := range []struct{ max, want int }{{4, 4}, {4, 4}, {4, 2}, {4, 0}} {
		results, err := c.Results(t.Context(), step.max, time.Second)
		must(t, err)
		if len(results) != step.want {
			t.Errorf("%d results, want %d", len(results), step.want)
		}
	}
	results, err := c.Results(t.Context(), 4, 0)
	if err != nil || len(results) != 0 {
		t.Errorf("%d, %v", len(results), err)
	}
}

func TestResultsOfAnAbandonedPullAreHandedBack(t *testing.T) {
	t.Parallel()
	c := ready(t, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	abandoned := make(chan error)
	go func() {
		_, err := c.Results(ctx, 10, 2*time.Second)
		abandoned <- err
	}()
	pullsAre(t, c, ResultsStream, sinkDurable, 1)
	must(t, c.PublishResults(t.Context(), testResults("r", 1, "x")))
	cancel()
	if err := <-abandoned; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	var results []pipeline.Delivery[pipeline.Results]
	eventually(t, func() bool { // before its lease ends
		var err error
		results, err = c.Results(t.Context(), 1, 100*time.Millisecond)
		return err == nil && len(results) == 1
	}, func() string { return "it did not come back" })
}

func TestSinkFindsItsDurableAgainWhenTheStreamsAreGone(t *testing.T) {
	server := serve(t)
	c := ready(t, Config{URL: server.URL()})
	_, err := c.Results(t.Context(), 1, 0)
	must(t, err)
	js := admin(t, server.URL())
	must(t, js.DeleteStream(t.Context(), ResultsStream))
	eventually(t, func() bool {
		_, err := c.Results(t.Context(), 1, 10*time.Millisecond)
		return err != nil && pipeline.ClassOf(err) == pipeline.Retryable
	}, func() string { return "the sink does not say that it waits" })
	if _, err := js.Stream(t.Context(), ResultsStream); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("the sink has made the stream: %v", err)
	}
	must(t, c.EnsureRun(t.Context(), testRun("r"))) // as the publisher does
	eventually(t, func() bool {
		_, err := c.Results(t.Context(), 1, 10*time.Millisecond)
		return err == nil
	}, func() string { return "it stays away" })
	must(t, c.PublishResults(t.Context(), testResults("r", 1, "x")))
}

func TestThreeNodesGoOnWhenOneStops(t *testing.T) {
	t.Parallel()
	nodes := natsdtest.Cluster(t, 3)
	c := connect(t, Config{URL: natsdtest.URLs(nodes), Replicas: 3, Lease: 2 * time.Second})
	// A pull that waited on the stopped node is given up after two heartbeats.
	c.pullExpiry, c.heartbeat = 2*time.Second, 500*time.Millisecond
	eventually(t, func() bool { return c.Ensure(t.Context()) == nil }, func() string { return "not ready" })
	must(t, c.EnsureRun(t.Context(), testRun("r")))
	if err := func() error {
		must(t, c.Publish(t.Context(), testWork("r", 0)))
		return c.Publish(t.Context(), testWork("r", 0))
	}(); !errors.Is(err, pipeline.ErrOutstanding) {
		t.Errorf("twice: %v", err)
	}
	const n = 300
	seen := make(chan int, 10*n)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	source := c.Work("r")
	worked := make(chan struct{})
	for range 2 {
		go func() {
			defer func() { worked <- struct{}{} }()
			for {
				d, err := source.Next(ctx)
				if err != nil {
					return
				}
				if c.PublishResults(ctx, testResults("r", d.Body.Batch, "x")) == nil && d.Ack(ctx) == nil {
					seen <- d.Body.Batch
				}
			}
		}()
	}
	s, err := c.js.Stream(t.Context(), WorkStream)
	must(t, err)
	leader := slices.IndexFunc(nodes, func(n *natsdtest.Server) bool { return n.Name() == s.CachedInfo().Cluster.Leader })
	for i := 1; i < n; i++ {
		if i == n/3 {
			nodes[leader].Shutdown()
		}
		err := c.Publish(t.Context(), testWork("r", i))
		for pipeline.IsOutage(err) { // while the others choose a leader, as a publisher does
			err = c.Publish(t.Context(), testWork("r", i))
		}
		if err != nil && !errors.Is(err, pipeline.ErrOutstanding) {
			t.Fatal(err)
		}
	}
	batches := map[int]bool{}
	for len(batches) < n {
		select {
		case i := <-seen:
			batches[i] = true
		case <-time.After(time.Minute):
			t.Fatalf("%d of %d batches came", len(batches), n)
		}
	}
	cancel()
	<-worked
	<-worked
}

// pullsAre waits until this many pulls wait on the server.
func pullsAre(t *testing.T, c *Conn, stream, durable string, n int) {
	t.Helper()
	eventually(t, func() bool {
		info, err := c.durableInfo(t.Context(), stream, durable)
		return err == nil && info.NumWaiting == n
	}, func() string { return fmt.Sprintf("there are not %d pulls", n) })
}
