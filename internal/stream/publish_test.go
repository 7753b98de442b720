package stream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gleaner/internal/natsd/natsdtest"
	"gleaner/internal/pipeline"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/nats-io/nats.go"
)

func TestBatchIsOutstandingOnce(t *testing.T) {
	c := ready(t, Config{})
	must(t, c.Publish(t.Context(), testWork("r", 7)))
	if err := c.Publish(t.Context(), testWork("r", 7)); !errors.Is(err, pipeline.ErrOutstanding) {
		t.Errorf("while it waits: %v", err)
	}
	d := next(t, c.Work("r"))
	if err := c.Publish(t.Context(), testWork("r", 7)); !errors.Is(err, pipeline.ErrOutstanding) {
		t.Errorf("while it is held: %v", err)
	}
	must(t, d.Ack(t.Context()))
	must(t, c.Publish(t.Context(), testWork("r", 7)))
}

func TestWorkThatIsTooLargeIsAPermanentFailure(t *testing.T) {
	t.Parallel()
	c := ready(t, Config{})
	w := testWork("r", 0)
	w.Generations[0].Messages = pipeline.User(noise(2 << 20))
	wantError(t, c.Publish(t.Context(), w), pipeline.BadItem, "accepts 1,048,576 in one")
}

func TestFullWorkStreamIsSaidAndTakesMoreWhenThereIsRoom(t *testing.T) {
	c := ready(t, Config{MaxBytes: LeastBytes})
	var err error
	full := 0
	for ; err == nil && full < 1000; full++ {
		w := testWork("r", full)
		w.Generations[0].Messages = pipeline.User(noise(100 << 10))
		err = c.Publish(t.Context(), w)
	}
	if !errors.Is(err, pipeline.ErrFull) || full < 10 {
		t.Fatalf("after %d batches: %v", full, err)
	}
	if of, other := c.NoRoom(t.Context(), false), c.NoRoom(t.Context(), true); !strings.HasPrefix(of, WorkStream) || other != "" {
		t.Errorf("no room is on %q and, for a run with batches there, on %q", of, other)
	}
	must(t, next(t, c.Work("r")).Ack(t.Context()))
	must(t, c.Publish(t.Context(), testWork("r", 1000)))
}

func TestFullResultsStreamMakesWorkersWait(t *testing.T) {
	t.Parallel()
	log, logs := observed()
	c := ready(t, Config{MaxBytes: LeastBytes, Log: log})
	published := make(chan int)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(published)
		for i := 0; c.PublishResults(ctx, testResults("r", i, noise(500<<10))) == nil; i++ {
			published <- i
		}
	}()
	waits := func() bool { return logs.FilterMessageSnippet("no room for results").Len() > 0 }
	before := 0
	for !waits() {
		select {
		case before = <-published:
		case <-time.After(time.Millisecond):
		}
	}
	took := 0
	for after := -1; after <= before; {
		results, err := c.Results(t.Context(), 4, time.Second)
		must(t, err)
		for _, d := range results {
			must(t, d.Ack(t.Context()))
			took++
		}
		select {
		case after = <-published:
		case <-time.After(5 * time.Millisecond):
		}
	}
	cancel()
	for range published {
	}
	if took == 0 || logs.FilterMessageSnippet("no room for results").Len() != 1 || logs.FilterMessageSnippet("room for results again").Len() < 1 {
		t.Errorf("took %d, logged %v", took, logs.All())
	}
}

func TestLargeResultsAreSplitAndComeBackWhole(t *testing.T) {
	t.Parallel()
	c := ready(t, Config{})
	want := testResults("r", 3, noise(512<<10), noise(512<<10), noise(512<<10), noise(512<<10), noise(512<<10), noise(512<<10), noise(512<<10), noise(512<<10))
	must(t, c.PublishResults(t.Context(), want))
	var got pipeline.Results
	messages := 0
	for len(got.Results) < len(want.Results) {
		results, err := c.Results(t.Context(), 100, 200*time.Millisecond)
		must(t, err)
		for _, d := range results {
			must(t, d.Err)
			rest := got.Results
			got = d.Body
			got.Results = append(rest, got.Results...)
			messages++
			must(t, d.Ack(t.Context()))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff[:min(len(diff), 2000)])
	}
	if messages < 2 || messages > 8 {
		t.Errorf("%d messages", messages)
	}
	depthIs(t, c, "r", pipeline.StreamDepth{})
}

// Those who wait for a run learn that no sink takes its results.
func TestDepthSaysForHowLongNoSinkHasAskedForResults(t *testing.T) {
	c := ready(t, Config{})
	untaken := func() time.Duration {
		depth, err := c.Depth(t.Context(), "r")
		must(t, err)
		return depth.Untaken
	}
	if got := untaken(); got != 0 {
		t.Errorf("without results it is %s", got)
	}
	must(t, c.PublishResults(t.Context(), testResults("r", 1, "one")))
	eventually(t, func() bool { return untaken() > 0 }, func() string { return "it is not known" })
	ctx, stop := context.WithCancel(t.Context())
	var sink sync.WaitGroup
	sink.Go(func() {
		for ctx.Err() == nil {
			_, _ = c.Results(ctx, 10, time.Second) // what matters is that it asks
		}
	})
	eventually(t, func() bool { return untaken() == 0 }, func() string { return fmt.Sprintf("with a sink it is %s", untaken()) })
	stop()
	sink.Wait()
}

func TestRepetitiveResultsTravelInOneMessage(t *testing.T) {
	c := ready(t, Config{})
	text := strings.Repeat("the same again and again ", 20_000)
	must(t, c.PublishResults(t.Context(), testResults("r", 3, text, text, text, text)))
	depthIs(t, c, "r", pipeline.StreamDepth{Results: 1})
}

func TestTextOfControlCharactersFitsIntoAMessage(t *testing.T) {
	t.Parallel()
	c := ready(t, Config{})
	b := make([]byte, pipeline.MaxTextBytes)
	for i := range b {
		b[i] = byte(1 + rand.IntN(31)) // six bytes each in JSON
	}
	must(t, c.PublishResults(t.Context(), testResults("r", 3, string(b))))
	results, err := c.Results(t.Context(), 1, 5*time.Second)
	must(t, err)
	if diff := cmp.Diff(string(b), results[0].Body.Results[0].Text); diff != "" {
		t.Error("it came back changed")
	}
}

func TestInvalidMessagesAreNotSent(t *testing.T) {
	c := ready(t, Config{})
	if err := c.Publish(t.Context(), testWork("not.a.run", 0)); err == nil {
		t.Error("it was sent")
	}
	if err := c.PublishResults(t.Context(), testResults("r", 0)); err == nil {
		t.Error("it was sent")
	}
}

func TestUnreadableMessagesAreDeliveredAsErrors(t *testing.T) {
	server := serve(t)
	c := ready(t, Config{URL: server.URL()})
	good, err := pipeline.Encode(testResults("r", 1, "Because."))
	must(t, err)
	enc, err := zstd.NewWriter(nil)
	must(t, err)
	bomb := enc.EncodeAll(make([]byte, 64<<20), nil)
	must(t, enc.Close())
	packed := nats.Header{encodingHeader: []string{"zstd"}}

	js := admin(t, server.URL())
	cases := []struct {
		name, subject string
		header        nats.Header
		data          []byte
		want          string
	}{
		{"no JSON", resultSubject("r", 1, 0), nil, []byte("?"), "results message"},
		{"empty", resultSubject("r", 1, 0), nil, nil, "results message"},
		{"not valid", resultSubject("r", 1, 0), nil, []byte(`{"run":"r","round":1}`), "0 results"},
		{"another batch's subject", resultSubject("r", 2, 0), nil, good, "not what its subject says"},
		{"another run's subject", resultSubject("s", 1, 0), nil, good, "not what its subject says"},
		{"short subject", "gleaner.result.r", nil, good, "not what its subject says"},
		{"unknown encoding", resultSubject("r", 1, 0), nats.Header{encodingHeader: []string{"br"}}, good, `"br"`},
		{"damaged", resultSubject("r", 1, 0), packed, good, "unpack"},
		{"a bomb", resultSubject("r", 1, 0), packed, bomb, "unpack"},
		{"it says that it is the end", resultSubject("r", 1, 0), nats.Header{"Status": []string{"404"}}, nil, "results message"},
		{"it says that the durable is gone", resultSubject("r", 1, 0), nats.Header{"Status": []string{"409"}, "Description": []string{"Consumer Deleted"}}, nil, "results message"},
	}
	for _, x := range cases {
		_, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: x.subject, Header: x.header, Data: x.data})
		must(t, err)
	}
	results, err := c.Results(t.Context(), len(cases), 5*time.Second)
	must(t, err)
	for i, d := range results {
		if d.Err == nil || !strings.Contains(d.Err.Error(), cases[i].want) || d.Subject != cases[i].subject {
			t.Errorf("%s: %v on %s", cases[i].name, d.Err, d.Subject)
		}
		must(t, d.Reject(t.Context(), d.Err.Error()))
	}
	if len(results) != len(cases) {
		t.Errorf("%d results", len(results))
	}
	depthIs(t, c, "r", pipeline.StreamDepth{})

	_, err = js.Publish(t.Context(), workSubject("r", 5), []byte("?"))
	must(t, err)
	if d := next(t, c.Work("r")); d.Err == nil || d.Body.Run != "" {
		t.Errorf("work: %v", d.Err)
	}
}

// restartHalfway publishes this many messages, one after the other, and restarts the server
// meanwhile.
func restartHalfway(t *testing.T, server *natsdtest.Server, n int, publish func(i int) error) {
	t.Helper()
	done := make(chan error, 1)
	halfway := make(chan struct{})
	go func() {
		for i := range n {
			if i == n/2 {
				close(halfway)
			}
			if err := publish(i); err != nil {
				if i < n/2 {
					close(halfway)
				}
				done <- err
				return
			}
		}
		done <- nil
	}()
	<-halfway
	server.Restart()
	must(t, <-done)
}

func TestPublishGoesOnThroughARestartOfTheServer(t *testing.T) {
	t.Parallel()
	server := serve(t)
	c := ready(t, Config{URL: server.URL()})
	const n = 2000
	restartHalfway(t, server, n, func(i int) error {
		if err := c.Publish(context.Background(), testWork("r", i)); !errors.Is(err, pipeline.ErrOutstanding) {
			return err
		}
		return nil
	})
	depthIs(t, c, "r", pipeline.StreamDepth{Waiting: n})
}

func TestPublishEndsWithItsContextWhileNoServerAnswers(t *testing.T) {
	server := serve(t)
	c := ready(t, Config{URL: server.URL()})
	server.Shutdown()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.Publish(ctx, testWork("r", 0)); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestRemovedRunLeavesNothingAndTouchesNoOther(t *testing.T) {
	server := serve(t)
	c := ready(t, Config{URL: server.URL()})
	js := admin(t, server.URL())
	must(t, c.EnsureRun(t.Context(), testRun("r2")))
	for _, run := range []string{"r", "r2"} {
		for i := range 3 {
			must(t, c.Publish(t.Context(), testWork(run, i)))
			must(t, c.PublishResults(t.Context(), testResults(run, i, "x")))
			_, err := js.Publish(t.Context(), "gleaner.dead."+run+".0000001", nil)
			must(t, err)
		}
	}
	must(t, c.RemoveRun(t.Context(), "r"))
	must(t, c.RemoveRun(t.Context(), "r"))
	if _, err := c.Depth(t.Context(), "r"); !errors.Is(err, pipeline.ErrNoRun) {
		t.Errorf("depth: %v", err)
	}
	depthIs(t, c, "r2", pipeline.StreamDepth{Waiting: 3, Results: 3})
	counts := map[string]uint64{}
	for _, name := range []string{WorkStream, ResultsStream, DeadStream} {
		s, err := js.Stream(t.Context(), name)
		must(t, err)
		counts[name] = s.CachedInfo().State.Msgs
	}
	if diff := cmp.Diff(map[string]uint64{WorkStream: 3, ResultsStream: 3, DeadStream: 1}, counts); diff != "" {
		t.Error(diff)
	}
}

func TestRemovingFromAServerWithoutStreamsIsNoError(t *testing.T) {
	c := connect(t, Config{URL: serve(t).URL()})
	must(t, c.RemoveRun(t.Context(), "r"))
	runs, err := c.Runs(t.Context())
	if err != nil || len(runs) != 0 {
		t.Errorf("%v, %v", runs, err)
	}
}

func TestPresenceIsGoneAfterThreeLeases(t *testing.T) {
	t.Parallel()
	c := ready(t, Config{Lease: 400 * time.Millisecond})
	a, b := pipeline.Presence{ID: "01A", Host: "x", GPUs: []pipeline.GPUStatus{{Name: "T4", Slots: 8}}}, pipeline.Presence{ID: "01B"}
	later := a
	later.Host = "y"
	var got []pipeline.Presence
	eventually(t, func() bool { // again, where the first are gone before the last is there
		for _, consumer := range []pipeline.Presence{b, a, later} {
			must(t, c.PutPresence(t.Context(), consumer))
		}
		var err error
		got, err = c.Consumers(t.Context())
		must(t, err)
		return cmp.Equal([]pipeline.Presence{later, b}, got)
	}, func() string { return cmp.Diff([]pipeline.Presence{later, b}, got) })
	eventually(t, func() bool {
		got, err := c.Consumers(t.Context())
		return err == nil && len(got) == 0
	}, func() string { return "they are still there" })
	if err := c.PutPresence(t.Context(), pipeline.Presence{ID: "a.b"}); err == nil {
		t.Error("an id with a dot was taken")
	}
}

func TestPresenceIsAKeyValueBucketToOtherClients(t *testing.T) {
	server := serve(t)
	c := ready(t, Config{URL: server.URL()})
	must(t, c.PutPresence(t.Context(), pipeline.Presence{ID: "01A"}))
	bucket, err := admin(t, server.URL()).KeyValue(t.Context(), Bucket)
	must(t, err)
	_, err = bucket.Put(t.Context(), "broken", []byte("{"))
	must(t, err)
	must(t, bucket.Delete(t.Context(), "01A"))
	got, err := c.Consumers(t.Context())
	if err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
}

// noise returns text that does not compress well.
func noise(n int) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[rand.IntN(64)]
	}
	return string(b)
}

// What takes little room on the way may take much in memory: one call takes what fits, and the
// rest comes later.
func TestLargeAnswersComeInPortions(t *testing.T) {
	t.Parallel()
	c := ready(t, Config{})
	const messages, each = 20, 7 // 20 times 3.5 MiB that travel as a few hundred bytes
	for batch := range messages {
		must(t, c.PublishResults(t.Context(), testResults("r", batch, slices.Repeat([]string{strings.Repeat("a", pipeline.MaxTextBytes)}, each)...)))
	}
	seen := map[int]bool{}
	calls := 0
	for len(seen) < messages { // with the race detector on a busy machine reading one takes seconds
		calls++
		deliveries, err := c.Results(t.Context(), 100, 100*time.Millisecond)
		must(t, err)
		bytes := 0
		for _, d := range deliveries {
			must(t, d.Err)
			must(t, d.Ack(t.Context()))
			seen[d.Body.Batch] = true
			bytes += textBytes(d.Body)
		}
		if bytes > fetchBytes+each*pipeline.MaxTextBytes {
			t.Fatalf("a call returned %d bytes", bytes)
		}
	}
	if calls < 2 {
		t.Error("all came at once")
	}
}
