package stream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"gleaner/internal/pipeline"

	"github.com/google/go-cmp/cmp"
)

func testDeadLetter(run string, batch int, message string) pipeline.DeadLetter {
	temperature := 0.5
	return pipeline.DeadLetter{
		Run: run, UID: "01J", Batch: batch, Round: 1, Class: pipeline.BadItem, Message: message, Deliveries: 3, Consumer: "c", GPU: "T4",
		Model: "tiny", Shared: pipeline.User("Be brief."), Options: pipeline.Options{Temperature: &temperature, NumPredict: 16, Stop: []string{"#"}},
		FailedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Failures: []pipeline.GenerationFailure{{
			Generation: pipeline.Generation{Index: 2, Item: batch, Sample: 1, Seed: 12345, Messages: pipeline.User("Why? <&> größer")},
			Class:      pipeline.BadItem, Message: message, Attempts: 2,
		}},
	}
}

// all reads the dead letters of a run and fails on an error.
func all(t testing.TB, c *Conn, run string) []pipeline.StoredDeadLetter {
	t.Helper()
	var letters []pipeline.StoredDeadLetter
	for d, err := range c.DeadLetters(t.Context(), run) {
		must(t, err)
		letters = append(letters, d)
	}
	return letters
}

// take takes dead letters for the mirror until there are as many.
func take(t testing.TB, c *Conn, count int) (letters []pipeline.Delivery[pipeline.StoredDeadLetter]) {
	t.Helper()
	eventually(t, func() bool {
		some, err := c.DeadLettersToMirror(t.Context(), count-len(letters), time.Second)
		letters = append(letters, some...)
		return err == nil && len(letters) == count
	}, func() string { return fmt.Sprintf("%d dead letters came", len(letters)) })
	return letters
}

// A dead letter holds all that is needed to try again.
func TestDeadLetterComesBackAsItWasPublished(t *testing.T) {
	c := ready(t, Config{})
	want := testDeadLetter("r", 42, "no room")
	want.Failures = append(want.Failures, pipeline.GenerationFailure{
		Generation: pipeline.Generation{Index: 0, Item: 41, Seed: 7, Messages: pipeline.User(noise(3000))}, Class: pipeline.Poison, Message: "it crashed", Attempts: 2,
	})
	must(t, c.PublishDeadLetter(t.Context(), want))
	stored := pipeline.StoredDeadLetter{DeadLetter: want, Sequence: 1}
	if diff := cmp.Diff([]pipeline.StoredDeadLetter{stored}, all(t, c, "r")); diff != "" {
		t.Errorf("browsed (-want +got):\n%s", diff)
	}
	got, ok, err := c.DeadLetter(t.Context(), "r", 42)
	must(t, err)
	if diff := cmp.Diff(stored, got); diff != "" || !ok {
		t.Errorf("read, %v (-want +got):\n%s", ok, diff)
	}
	d := take(t, c, 1)[0]
	must(t, d.Err)
	if diff := cmp.Diff(stored, d.Body); diff != "" || d.Subject != "gleaner.dead.r.0000042" || d.Deliveries != 1 {
		t.Errorf("to mirror, on %s, delivery %d (-want +got):\n%s", d.Subject, d.Deliveries, diff)
	}
}

func TestNewestDeadLetterOfABatchReplacesTheOlder(t *testing.T) {
	c := ready(t, Config{})
	for round, message := range []string{"first", "second", "third"} {
		d := testDeadLetter("r", 1, message)
		d.Round = round + 1
		must(t, c.PublishDeadLetter(t.Context(), d))
		must(t, c.PublishDeadLetter(t.Context(), testDeadLetter("r", 10+round, "another batch")))
	}
	var got []string
	for _, d := range all(t, c, "") {
		got = append(got, fmt.Sprintf("%d: batch %d, round %d, %s", d.Sequence, d.Batch, d.Round, d.Message))
	}
	want := []string{"2: batch 10, round 1, another batch", "4: batch 11, round 1, another batch", "5: batch 1, round 3, third", "6: batch 12, round 1, another batch"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if letters := take(t, c, 4); letters[2].Body.Message != "third" {
		t.Errorf("the mirror gets %q", letters[2].Body.Message)
	}
}

func TestDeletionBySequenceSparesTheNextDeadLetter(t *testing.T) {
	c := ready(t, Config{})
	must(t, c.PublishDeadLetter(t.Context(), testDeadLetter("r", 1, "old")))
	old, _, err := c.DeadLetter(t.Context(), "r", 1)
	must(t, err)
	must(t, c.PublishDeadLetter(t.Context(), testDeadLetter("r", 1, "new")))
	must(t, c.DeleteDeadLetter(t.Context(), old.Sequence))
	d, ok, err := c.DeadLetter(t.Context(), "r", 1)
	must(t, err)
	if !ok || d.Message != "new" {
		t.Fatalf("%v, %q", ok, d.Message)
	}
	must(t, c.DeleteDeadLetter(t.Context(), d.Sequence))
	must(t, c.DeleteDeadLetter(t.Context(), d.Sequence))
	must(t, c.DeleteDeadLetter(t.Context(), 1000))
	if d, ok, err = c.DeadLetter(t.Context(), "r", 1); ok || err != nil {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestNothingIsThereWhereThereAreNoStreams(t *testing.T) {
	c := connect(t, Config{URL: serve(t).URL()})
	if letters := all(t, c, ""); len(letters) != 0 {
		t.Errorf("%+v", letters)
	}
	_, ok, err := c.DeadLetter(t.Context(), "r", 1)
	if ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
	must(t, c.DeleteDeadLetter(t.Context(), 1))
	for name, look := range map[string]func(context.Context, string, int) (bool, error){"work": c.InWork, "results": c.InResults} {
		if is, err := look(t.Context(), "r", 1); is || err != nil {
			t.Errorf("%s: %v, %v", name, is, err)
		}
	}
}

func TestLongMessagesAreCutSoThatADeadLetterFitsAndPromptsStay(t *testing.T) {
	t.Parallel()
	c := ready(t, Config{})
	for _, x := range []struct {
		name           string
		count          int
		prompt         func() string
		message        string
		least, longest int
	}{
		{"one long text", 1, func() string { return "Why?" }, strings.Repeat("größer ", 4000), 4000, 4096},
		{"as many long ones as there can be", pipeline.MaxBatch, func() string { return noise(900) }, "", 200, 1024},
		{"nothing but prompts fits", 7, func() string { return noise(pipeline.MaxPromptBytes) }, "", 0, 4096},
		{"not valid UTF-8", 1, func() string { return "Why?" }, "a\xffb", 5, 5},
	} {
		d := testDeadLetter("r", 1, x.message)
		d.Failures = nil
		for i := range x.count {
			message := x.message
			if message == "" {
				message = noise(20_000)
			}
			d.Failures = append(d.Failures, pipeline.GenerationFailure{Generation: pipeline.Generation{Index: i, Item: i, Messages: pipeline.User(x.prompt())}, Message: message})
		}
		must(t, c.PublishDeadLetter(t.Context(), d))
		got, ok, err := c.DeadLetter(t.Context(), "r", 1)
		must(t, err)
		if !ok || len(got.Failures) != x.count {
			t.Fatalf("%s: %v, %d failures", x.name, ok, len(got.Failures))
		}
		for i, f := range got.Failures {
			if f.Prompt() != d.Failures[i].Prompt() {
				t.Fatalf("%s: prompt %d changed", x.name, i)
			}
			if n := len(f.Message); n < x.least || n > x.longest {
				t.Fatalf("%s: message %d has %d bytes, want %d to %d", x.name, i, n, x.least, x.longest)
			}
		}
		if d.Failures[0].Message != x.message && x.message != "" {
			t.Errorf("%s: the caller's own was changed", x.name)
		}
		if browsed := all(t, c, ""); len(browsed) != 1 || len(browsed[0].Failures) != x.count {
			t.Errorf("%s: %d browsed", x.name, len(browsed))
		}
	}
}

// However much was answered before it was cut off: what the server takes bounds what is sent.
func TestTextsOfCutAnswersAreCutSoThatADeadLetterFits(t *testing.T) {
	t.Parallel()
	c := ready(t, Config{})
	for _, x := range []struct {
		name                string
		count, prompt, text int // of each failure
		least, most         int // bytes of all texts that are kept
	}{
		{"they fit as they are", 2, 10, 50 << 10, 100 << 10, 100 << 10},
		{"more than a letter may hold", pipeline.MaxBatch, 10, 8 << 10, 100 << 10, pipeline.MaxPartialBytes},
		{"a quarter fits beside the prompts", 7, 120 << 10, 18 << 10, 20 << 10, pipeline.MaxPartialBytes / 4},
		{"none fits beside the prompts", 7, 127 << 10, 18 << 10, 0, 0},
	} {
		d := testDeadLetter("r", 1, "cut off")
		d.Failures = nil
		for i := range x.count {
			d.Failures = append(d.Failures, pipeline.GenerationFailure{
				Generation: pipeline.Generation{Index: i, Item: i, Messages: pipeline.User(noise(x.prompt))}, Class: pipeline.Truncated, Text: noise(x.text),
			})
		}
		must(t, c.PublishDeadLetter(t.Context(), d))
		letter := take(t, c, 1)[0]
		must(t, letter.Err)
		must(t, letter.Ack(t.Context()))
		bytes := 0
		for _, f := range letter.Body.Failures {
			bytes += len(f.Text)
		}
		if bytes < x.least || bytes > x.most {
			t.Errorf("%s: %d bytes of texts are kept, want %d to %d", x.name, bytes, x.least, x.most)
		}
		if n := len(d.Failures[0].Text); n != x.text {
			t.Errorf("%s: the caller's own was cut to %d bytes", x.name, n)
		}
	}
}

func TestInvalidDeadLettersAreNotSent(t *testing.T) {
	c := ready(t, Config{})
	d := testDeadLetter("r", 1, "x")
	d.Failures = nil
	wantError(t, c.PublishDeadLetter(t.Context(), d), pipeline.BadItem, "r/0000001", "0 failures")
	wantError(t, c.PublishDeadLetter(t.Context(), testDeadLetter("not.a.run", 1, "x")), pipeline.BadItem)
}

func TestFullDeadLetterStreamMakesWorkersWaitAndSaysTheWayOut(t *testing.T) {
	t.Parallel()
	log, logs := observed()
	c := ready(t, Config{MaxBytes: LeastBytes, Log: log})
	published := make(chan int)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(published)
		for i := 0; ; i++ {
			d := testDeadLetter("r", i, "x")
			d.Failures[0].Messages = pipeline.User(noise(pipeline.MaxPromptBytes))
			if c.PublishDeadLetter(ctx, d) != nil {
				return
			}
			published <- i
		}
	}()
	waits := func() bool { return logs.FilterMessageSnippet("no room for dead letters").Len() > 0 }
	before := -1
	for !waits() {
		select {
		case before = <-published:
		case <-time.After(time.Millisecond):
		}
	}
	if before < 10 {
		t.Errorf("it is full after %d", before)
	}
	for _, d := range all(t, c, "r")[:3] {
		must(t, c.DeleteDeadLetter(t.Context(), d.Sequence))
	}
	for after := range published {
		if after > before {
			break
		}
	}
	cancel()
	for range published {
	}
	full := logs.FilterMessageSnippet("no room for dead letters").All()
	if len(full) != 1 || !strings.Contains(full[0].Message, "producer dead redrive --run r)") || !strings.Contains(full[0].Message, "producer dead drop --run r --yes") {
		t.Errorf("logged %v", logs.All())
	}
	if logs.FilterMessageSnippet("room for dead letters again").Len() < 1 {
		t.Errorf("logged %v", logs.All())
	}
}

func TestMirrorGetsEachDeadLetterOnceAndTheStreamKeepsIt(t *testing.T) {
	t.Parallel()
	server := serve(t)
	c := ready(t, Config{URL: server.URL()})
	const n = 100
	for i := range n {
		must(t, c.PublishDeadLetter(t.Context(), testDeadLetter("r", i, "x")))
	}
	letters := take(t, c, n)
	for _, d := range letters[1:] {
		must(t, d.Ack(t.Context()))
	}
	must(t, letters[0].HandBack(t.Context(), 0))
	if again := take(t, c, 1)[0]; again.Body.Batch != letters[0].Body.Batch || again.Deliveries != 2 {
		t.Errorf("batch %d, delivery %d", again.Body.Batch, again.Deliveries)
	} else {
		must(t, again.Ack(t.Context()))
	}
	if rest, err := c.DeadLettersToMirror(t.Context(), 10, 50*time.Millisecond); len(rest) != 0 {
		t.Errorf("%d more, %v", len(rest), err)
	}
	if kept := all(t, c, "r"); len(kept) != n {
		t.Errorf("%d are kept", len(kept))
	}
	js := admin(t, server.URL())
	must(t, js.DeleteConsumer(t.Context(), DeadStream, mirrorDurable))
	must(t, c.Ensure(t.Context()))
	take(t, c, n) // the durable is created again, and starts over
	must(t, js.DeleteStream(t.Context(), DeadStream))
	must(t, c.Ensure(t.Context()))
	eventually(t, func() bool {
		_, err := c.DeadLettersToMirror(t.Context(), 1, 10*time.Millisecond)
		return err == nil
	}, func() string { return "the stream is not made again" })
}

func TestMirrorEndsAtOnceWithItsContext(t *testing.T) {
	c := ready(t, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := c.DeadLettersToMirror(ctx, 10, time.Hour)
		done <- err
	}()
	pullsAre(t, c, DeadStream, mirrorDurable, 1)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestDeadLettersAreThereAfterARestartOfTheServer(t *testing.T) {
	t.Parallel()
	server := serve(t)
	c := ready(t, Config{URL: server.URL()})
	const n = 300
	restartHalfway(t, server, n, func(i int) error { return c.PublishDeadLetter(context.Background(), testDeadLetter("r", i, "x")) })
	type outcome struct {
		count int
		err   error
	}
	browsed := make(chan outcome, 1)
	go func() { // also while it restarts again
		var o outcome
		for _, err := range c.DeadLetters(context.Background(), "r") {
			if o.err = err; err == nil {
				o.count++
			}
		}
		browsed <- o
	}()
	server.Restart()
	if o := <-browsed; o.count != n || o.err != nil {
		t.Errorf("%d dead letters, %v", o.count, o.err)
	}
	seen := map[int]bool{}
	for _, d := range take(t, c, n) {
		seen[d.Body.Batch] = true
	}
	if len(seen) != n {
		t.Errorf("%d are mirrored", len(seen))
	}
}

func TestConsumerMayPublishDeadLettersAndDoNothingElseToThem(t *testing.T) {
	operator, consumer := team(t)
	must(t, consumer.PublishDeadLetter(t.Context(), testDeadLetter("r", 1, "x")))
	if letters := all(t, operator, "r"); len(letters) != 1 {
		t.Errorf("%d dead letters", len(letters))
	}
	for _, err := range consumer.DeadLetters(t.Context(), "r") {
		wantError(t, err, pipeline.Fatal, "STREAM.INFO")
	}
	_, err := consumer.page(t.Context(), "gleaner.dead.>", 1)
	wantError(t, err, pipeline.Fatal, "DIRECT.GET")
	_, _, err = consumer.DeadLetter(t.Context(), "r", 1)
	wantError(t, err, pipeline.Fatal, "MSG.GET")
	wantError(t, consumer.DeleteDeadLetter(t.Context(), 1), pipeline.Fatal, "MSG.DELETE")
	_, err = consumer.DeadLettersToMirror(t.Context(), 1, time.Second)
	wantError(t, err, pipeline.Fatal, "GLEANER_DEAD")
	wantError(t, consumer.PauseRun(t.Context(), testRun("r")), pipeline.Fatal, "CONSUMER.PAUSE")
	_, err = consumer.CancelRun(t.Context(), "r")
	wantError(t, err, pipeline.Fatal, "CONSUMER.DELETE")
	_, err = consumer.InWork(t.Context(), "r", 1)
	wantError(t, err, pipeline.Fatal, "STREAM.INFO")

	stolen := take(t, operator, 1)[0].Receipt.(*receipt)
	forged := receipt{c: consumer.client, reply: stolen.reply, lease: stolen.lease, renewedAt: stolen.renewedAt}
	wantError(t, forged.Ack(t.Context()), pipeline.Fatal, "$JS.ACK.GLEANER_DEAD")
	if letters := all(t, operator, "r"); len(letters) != 1 {
		t.Errorf("%d dead letters", len(letters))
	}
}
