package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"gleaner/internal/faultproxy"
	"gleaner/internal/pipeline"
	"gleaner/internal/store"
	"gleaner/internal/store/storetest"
)

// shortDeadline is the deadline of a small command in these tests.
const shortDeadline = time.Second

// A halfOpen is a store behind a network that can forget its connections.
type halfOpen struct {
	store.Store
	network *faultproxy.Proxy
}

// newHalfOpen returns a store that has a run of one batch and uses all connections that it may
// have.
func newHalfOpen(t *testing.T) halfOpen {
	t.Helper()
	scheme, rest, _ := strings.Cut(storetest.MongoURI(t), "://")
	host, database, _ := strings.Cut(rest, "/")
	network, err := faultproxy.Start(host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(network.Close)
	s, err := store.Open(t.Context(), fmt.Sprintf("%s://%s/%s?timeoutMS=%d", scheme, network.Addr(), database, shortDeadline.Milliseconds()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // some of its connections are dead
	h := halfOpen{s, network}
	ctx := t.Context()
	run := pipeline.Run{Name: "r", UID: "01J", State: pipeline.RunLoading, Items: 8, Generations: 8, Spec: pipeline.Spec{Model: "m", Samples: 1}}
	if _, _, err := h.CreateRun(ctx, run); err != nil {
		t.Fatal(err)
	}
	if err := h.PutBatches(ctx, []pipeline.Batch{{Run: "r", Index: 0, First: 0, Count: 8, State: pipeline.Planned, Round: 1}}); err != nil {
		t.Fatal(err)
	}
	var using sync.WaitGroup
	for range 32 {
		using.Go(func() { _, _ = h.Run(ctx, "r") })
	}
	using.Wait()
	return h
}

func (h halfOpen) write(ctx context.Context, text string) (pipeline.Written, error) {
	m := pipeline.Results{Run: "r", UID: "01J", Batch: 0, Round: 1, Consumer: "c", GPU: "g"}
	m.Results = append(m.Results, pipeline.Result{Index: 0, Item: 0, Text: text, Finish: "stop", CreatedAt: time.Now()})
	return h.WriteResults(ctx, []pipeline.Results{m}, time.Now())
}

// All connections of the pool are dead, and trying the command again costs the deadline once, not
// once for each of them.
func TestConnectionsThatAreNeitherAliveNorDeadCostOneDeadlineTogether(t *testing.T) {
	t.Parallel()
	h := newHalfOpen(t)
	h.network.Freeze()
	began := time.Now()
	_, err := h.write(t.Context(), "answer")
	took := time.Since(began)
	t.Log(took, err)
	if pipeline.ClassOf(err) != pipeline.Retryable || !strings.Contains(err.Error(), "no answer in time (1s)") {
		t.Errorf("a %s error: %v", pipeline.ClassOf(err), err)
	}
	if took < shortDeadline || took > 2*shortDeadline {
		t.Errorf("the first command took %s", took)
	}
	for range 20 {
		if _, err := h.write(t.Context(), "answer"); err != nil {
			t.Fatal("another connection of the dead ones is used:", err)
		}
	}
	if took := time.Since(began); took > 3*shortDeadline {
		t.Errorf("all of it took %s", took)
	}
}

func TestAReadOverAWholeRunDoesNotWaitForADeadConnection(t *testing.T) {
	t.Parallel()
	h := newHalfOpen(t)
	h.network.Freeze()
	began := time.Now()
	progress, err := h.Progress(t.Context(), "r", began)
	if err != nil || progress.Generations != 8 {
		t.Errorf("%+v, %v", progress, err)
	}
	if took := time.Since(began); took < shortDeadline || took > 2*shortDeadline {
		t.Errorf("it took %s", took)
	}
	if _, err := h.Run(t.Context(), "r"); err != nil {
		t.Error("the command after it:", err)
	}
}

// A large write has a long deadline of its own, and does not wait for it when a small command has
// found that the connections are dead.
func TestCommandsOnConnectionsThatAreGivenUpEndSoon(t *testing.T) {
	t.Parallel()
	h := newHalfOpen(t)
	h.network.Freeze()
	began := time.Now()
	var large error
	var writing sync.WaitGroup
	writing.Go(func() { _, large = h.write(t.Context(), strings.Repeat("x", 10<<20)) })
	if _, err := h.Run(t.Context(), "r"); err == nil {
		t.Error("a command on a dead connection got an answer")
	}
	writing.Wait()
	t.Log(large)
	if took := time.Since(began); took > 4*shortDeadline || pipeline.ClassOf(large) != pipeline.Retryable {
		t.Errorf("the large write ended after %s: %v", took, large)
	}
}

// A read over a whole run may take two minutes. It ends with its context, and when the store
// closes, although nothing answers.
func TestAStoreClosesWithDeadConnections(t *testing.T) {
	t.Parallel()
	h := newHalfOpen(t)
	h.network.Stall()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	for _, ctx := range []context.Context{ctx, t.Context()} {
		go func() {
			_, err := h.Progress(ctx, "r", time.Now())
			ended <- err
		}()
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("a command that waits does not end with its context: %v", err)
	}
	began := time.Now()
	_ = h.Close() // it may say that nothing answered
	if err := <-ended; err == nil {
		t.Error("a command that nothing answers succeeds")
	}
	if took := time.Since(began); took > time.Minute { // without the end of what waits it takes two
		t.Errorf("it took %s", took)
	}
}
