package stream

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"gleaner/internal/natsd/natsdtest"

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
			_, err := c.provisioner.durables.ensure(t.Context(), WorkStream, runDurable(testRun("r"), time.Minute, nil), 0)
			must(t, err)
			if first, second := <-asked, <-asked; first != -1 || second != limit {
				t.Errorf("asked for %d, then for %d", first, second)
			}
		})
	}
}
