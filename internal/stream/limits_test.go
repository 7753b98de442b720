package stream

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"gleaner/internal/natsd/natsdtest"
	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// publishBatches puts batches 0 to n-1 of run "r" on the queue.
func publishBatches(t testing.TB, c *Conn, n int) {
	t.Helper()
	var group errgroup.Group
	group.SetLimit(32)
	for i := range n {
		group.Go(func() error { return c.Publish(context.Background(), testWork("r", i)) })
	}
	must(t, group.Wait())
}

// earlierDurable makes the durable of run "r" as the programs before did: without a limit of what
// may be held, of which the server made 1,000, and with one message for each pull.
func earlierDurable(t testing.TB, js jetstream.JetStream, maxWaiting int) {
	t.Helper()
	cfg := runDurable(testRun("r"), 90*time.Second, nil)
	cfg.MaxAckPending, cfg.MaxRequestBatch, cfg.MaxWaiting = 0, 1, maxWaiting
	_, err := js.CreateOrUpdateConsumer(t.Context(), WorkStream, cfg)
	must(t, err)
}

func TestMoreThanAThousandBatchesAreHeldAtOnce(t *testing.T) {
	t.Parallel()
	const batches = 1300
	for name, earlier := range map[string]bool{"a new durable": false, "one that an earlier program made": true} {
		t.Run(name, func(t *testing.T) {
			server := serve(t)
			c := connect(t, Config{URL: server.URL()})
			must(t, c.Ensure(t.Context()))
			if earlier {
				earlierDurable(t, admin(t, server.URL()), 512)
			}
			must(t, c.EnsureRun(t.Context(), testRun("r")))
			publishBatches(t, c, batches)
			source, got := c.Work("r"), make(chan error)
			for range batches {
				go func() {
					_, err := source.Next(t.Context())
					got <- err
				}()
			}
			for i := range batches {
				select {
				case err := <-got:
					must(t, err)
				case <-time.After(time.Minute):
					t.Fatalf("%d of %d batches are held, and no more come", i, batches)
				}
			}
			info, err := c.RunInfo(t.Context(), "r")
			must(t, err)
			if info.Held != batches {
				t.Errorf("%d are held, want %d", info.Held, batches)
			}
		})
	}
}

func TestWhatCannotBeChangedOfAnEarlierDurableStays(t *testing.T) {
	server := serve(t)
	c, js := connect(t, Config{URL: server.URL()}), admin(t, server.URL())
	must(t, c.Ensure(t.Context()))
	earlierDurable(t, js, 512)
	must(t, c.EnsureRun(t.Context(), testRun("r")))
	handle, err := js.Consumer(t.Context(), WorkStream, "r")
	must(t, err)
	is := handle.CachedInfo().Config
	if is.MaxWaiting != 512 || is.MaxAckPending != -1 || is.MaxRequestBatch != 256 {
		t.Errorf("pulls that wait %d, held at once %d, in a pull %d", is.MaxWaiting, is.MaxAckPending, is.MaxRequestBatch)
	}
}

// The servers of today take a durable without a limit also where the account has one. So the test
// answers for one that does not.
func TestADurableGetsTheLimitOfAnAccountThatHasOne(t *testing.T) {
	const limit = 700
	for name, refuses := range map[string]bool{"created": false, "updated": true} {
		t.Run(name, func(t *testing.T) {
			server := natsdtest.Start(t, withoutJetStream())
			nc := admin(t, server.URL()).Conn()
			asked := make(chan int, 10)
			answer := func(subject string, reply func(data []byte) string) {
				_, err := nc.Subscribe(subject, func(m *nats.Msg) { _ = m.Respond([]byte(reply(m.Data))) })
				must(t, err)
			}
			answer("$JS.API.INFO", func([]byte) string {
				return fmt.Sprintf(`{"tiers":{"R1":{"limits":{"max_ack_pending":%d}},"R3":{"limits":{"max_ack_pending":-1}}}}`, limit)
			})
			answer("$JS.API.CONSUMER.INFO."+WorkStream+".r", func([]byte) string {
				if !refuses {
					return `{"error":{"code":404,"err_code":10014,"description":"consumer not found"}}`
				}
				return `{"name":"r","config":{"durable_name":"r","ack_policy":"explicit","max_deliver":-1,"filter_subject":"gleaner.work.r.>","max_ack_pending":500}}`
			})
			answer("$JS.API.CONSUMER.CREATE.>", func(data []byte) string {
				var request struct {
					Config jetstream.ConsumerConfig `json:"config"`
				}
				_ = json.Unmarshal(data, &request)
				asked <- request.Config.MaxAckPending
				if n := request.Config.MaxAckPending; n < 0 || n > limit {
					return `{"error":{"code":400,"err_code":10121,"description":"consumer max ack pending exceeds system limit of 700"}}`
				}
				return `{"name":"r","config":{}}`
			})
			must(t, nc.Flush())
			c := connect(t, Config{URL: server.URL()})
			_, err := c.provisioner.durables.ensure(t.Context(), WorkStream, runDurable(testRun("r"), time.Minute, nil), time.Minute)
			must(t, err)
			if first, second := <-asked, <-asked; first != -1 || second != limit {
				t.Errorf("asked for %d, then for %d", first, second)
			}
		})
	}
}

// At the bound of batches in flight nothing more is handed out until one is finished.
func TestAtTheBoundOfBatchesInFlightFurtherOnesWait(t *testing.T) {
	server := serve(t)
	c := ready(t, Config{URL: server.URL()})
	js := admin(t, server.URL())
	cfg := runDurable(testRun("r"), 90*time.Second, nil)
	cfg.MaxAckPending = 3
	_, err := js.UpdateConsumer(t.Context(), WorkStream, cfg)
	must(t, err)
	publishBatches(t, c, 5)
	source := c.Work("r")
	held := next(t, source)
	next(t, source)
	next(t, source)
	none, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if d, err := source.Next(none); err == nil {
		t.Errorf("%s came beyond the bound", d.Subject)
	}
	must(t, held.Ack(t.Context()))
	next(t, source)
}

// A server says nothing of a pull for which it has no room. The GPU says so, and works when there
// is.
func TestAtTheBoundOfWaitingPullsAGPUSaysSoAndAsksAgain(t *testing.T) {
	t.Parallel()
	const most = 3
	server := serve(t)
	log, logs := observed()
	c := connect(t, Config{URL: server.URL(), Log: log})
	c.heartbeat = 200 * time.Millisecond
	must(t, c.Ensure(t.Context()))
	earlierDurable(t, admin(t, server.URL()), most)
	must(t, c.EnsureRun(t.Context(), testRun("r")))
	got := make(chan error)
	for range most + 1 {
		source := c.Work("r")
		go func() {
			_, err := source.Next(t.Context())
			got <- err
		}()
	}
	says := func() bool {
		n := 0
		for _, e := range logs.FilterMessageSnippet("cannot take batches").All() {
			if strings.Contains(fmt.Sprint(e.ContextMap()["error"]), "pulls may wait") {
				n++
			}
		}
		return n == 1
	}
	eventually(t, says, func() string { return fmt.Sprint(logs.All()) })
	pullsAre(t, c, WorkStream, "r", most)
	publishBatches(t, c, most+1)
	for range most + 1 {
		must(t, <-got)
	}
}

// However many workers a GPU has, and however they come, it has few pulls on the queue.
func TestAtTheBoundOfPullsOfAGPUFurtherWorkersWaitForOneToEnd(t *testing.T) {
	const workers = 40
	c := ready(t, Config{})
	source, got := c.Work("r"), make(chan error)
	most := func() int {
		info, err := c.durableInfo(t.Context(), WorkStream, "r")
		must(t, err)
		return info.NumWaiting
	}
	for range workers { // one after the other
		go func() {
			_, err := source.Next(t.Context())
			got <- err
		}()
		if n := most(); n > pipeline.PullsEach {
			t.Fatalf("%d pulls wait", n)
		}
	}
	publishBatches(t, c, workers)
	for range workers {
		must(t, <-got)
	}
}

// Without work a GPU has one pull, as soon as those have ended that its workers asked for one by
// one.
func TestWithoutWorkAGPUHasOnePullForAllItsWorkers(t *testing.T) {
	t.Parallel()
	const workers = 18
	c := ready(t, Config{})
	c.pullExpiry, c.heartbeat = 500*time.Millisecond, 100*time.Millisecond
	source, got := c.Work("r"), make(chan error)
	for range workers {
		go func() {
			_, err := source.Next(t.Context())
			got <- err
		}()
	}
	quiet := func() bool {
		source.mu.Lock()
		defer source.mu.Unlock()
		return len(source.pulls) == 1 && source.open == workers
	}
	eventually(t, quiet, func() string { return fmt.Sprintf("%d pulls with %d places", len(source.pulls), source.open) })
	publishBatches(t, c, workers)
	for range workers {
		must(t, <-got)
	}
}

// Places never exceed the workers that wait, so that no message waits in a process that has no
// worker for it.
func TestPlacesNeverExceedTheWorkersThatWait(t *testing.T) {
	t.Parallel()
	const workers, batches = 12, 600
	c := ready(t, Config{})
	publishBatches(t, c, batches)
	source := c.Work("r")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan int, batches)
	for range workers {
		go func() {
			for {
				d, err := source.Next(ctx)
				if err != nil {
					return
				}
				if d.Deliveries != 1 {
					t.Errorf("batch %d was delivered %d times", d.Body.Batch, d.Deliveries)
				}
				_ = d.Ack(ctx)
				done <- d.Body.Batch
			}
		}()
	}
	for range batches {
		<-done
		source.mu.Lock()
		open := 0
		for _, p := range source.pulls {
			if p.sent {
				open += p.places
			}
		}
		if open > len(source.waiting) || len(source.pulls) > pipeline.PullsEach {
			t.Errorf("%d places in %d pulls for %d workers", open, len(source.pulls), len(source.waiting))
		}
		source.mu.Unlock()
	}
}

// A message for which no worker waits, again and again, rests: it must not use up its deliveries.
func TestAMessageThatNobodyHereWantsIsNotUsedUp(t *testing.T) {
	t.Parallel()
	c := ready(t, Config{})
	source := c.Work("r")
	ctx, cancel := context.WithCancel(t.Context())
	var workers []chan struct{}
	for range 20 {
		left := make(chan struct{})
		workers = append(workers, left)
		go func() {
			defer close(left)
			_, _ = source.Next(ctx)
		}()
	}
	open := func() bool {
		source.mu.Lock()
		defer source.mu.Unlock()
		sent := 0 // the pulls of the first may be small, and one that is not sent yet ends with its workers
		for _, p := range source.pulls {
			if p.sent {
				sent += p.places
			}
		}
		return len(source.waiting) == 20 && sent >= pipeline.PullsEach
	}
	eventually(t, open, func() string { return "the workers do not wait" })
	cancel()
	for _, left := range workers {
		<-left
	}
	published := time.Now()
	must(t, c.Publish(t.Context(), testWork("r", 1)))
	rests := func() bool { // after it came twice
		info, err := c.durableInfo(t.Context(), WorkStream, "r")
		return err == nil && info.NumAckPending == 1 && info.Delivered.Consumer >= 2
	}
	eventually(t, rests, func() string { return "it does not rest" })
	d := next(t, c.Work("r"))
	if took := time.Since(published); d.Deliveries > 3+int(took/time.Second) {
		t.Errorf("%d deliveries in %s", d.Deliveries, took)
	}
}

// A bucket that is full refuses further reports. Their consumers work, but are not shown.
func TestAtTheBoundOfPresenceAConsumerIsNotShown(t *testing.T) {
	t.Parallel()
	c := ready(t, Config{MaxBytes: 16 << 20})
	large := func(i int) pipeline.Presence {
		return pipeline.Presence{ID: fmt.Sprintf("c%04d", i), Run: "r", Host: strings.Repeat("x", 4000)}
	}
	var err error
	shown := 0
	for ; err == nil && shown < 1000; shown++ {
		err = c.PutPresence(t.Context(), large(shown))
	}
	if err == nil || !strings.Contains(err.Error(), "maximum bytes") {
		t.Fatalf("%d reports, then %v", shown, err)
	}
	present, err := c.Consumers(t.Context())
	must(t, err)
	if len(present) != shown-1 {
		t.Errorf("%d are shown, want %d", len(present), shown-1)
	}
	must(t, c.Publish(t.Context(), testWork("r", 1)))
	next(t, c.Work("r"))
}

// A consumer may be newer than the producer whose durable it pulls from.
func TestADurableThatTakesSmallPullsIsServedWithThose(t *testing.T) {
	t.Parallel()
	const workers, batches = 18, 60
	server := serve(t)
	c := connect(t, Config{URL: server.URL()})
	must(t, c.Ensure(t.Context()))
	earlierDurable(t, admin(t, server.URL()), 512)
	publishBatches(t, c, batches)
	source, done := c.Work("r"), make(chan error)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	for range workers {
		go func() {
			for {
				d, err := source.Next(ctx)
				if err != nil {
					return
				}
				done <- d.Ack(ctx)
			}
		}()
	}
	for range batches {
		must(t, <-done)
	}
}
