package nats_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gleaner/internal/pipeline"
	"gleaner/internal/stream"
)

// A raw is a client with a role's credentials and no Gleaner in it.
type raw struct {
	t       *testing.T
	nc      *nats.Conn
	refused chan error
}

func newRaw(t *testing.T, address, role string) *raw {
	t.Helper()
	r := &raw{t: t, refused: make(chan error, 100)}
	var err error
	r.nc, err = nats.Connect(address, nats.CustomInboxPrefix("_INBOX_"+role), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { r.refused <- err }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.nc.Close)
	return r
}

// isRefused fails unless the server says that what was just done on a subject is not allowed.
func (r *raw) isRefused(what, subject string) {
	r.t.Helper()
	if err := r.nc.Flush(); err != nil {
		r.t.Fatal(err)
	}
	select {
	case err := <-r.refused:
		if !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), what+" to \""+subject+"\"") {
			r.t.Errorf("%s to %s: %v", what, subject, err)
		}
	case <-time.After(30 * time.Second):
		r.t.Errorf("%s to %s is allowed", what, subject)
	}
}

// held prepares a server on which batch 0 was answered and batch 1 waits, and returns the answer
// as the sink holds it.
func held(t *testing.T, producer, consumer, sink *stream.Conn) pipeline.Delivery[pipeline.Results] {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(producer.Ensure(ctx))
	check(producer.EnsureRun(ctx, run))
	check(producer.Publish(ctx, work(1)))
	check(consumer.PublishResults(ctx, results(0)))
	check(consumer.PublishDeadLetter(ctx, letter(2)))
	taken, err := sink.Results(ctx, 1, 10*time.Second)
	check(err)
	return taken[0]
}

// ackOf is the subject on which the sink acknowledges its first delivery.
func ackOf(prefix string) string {
	return fmt.Sprintf("$JS.ACK.%sGLEANER_RESULTS.sink.1.1.1.%d.0", prefix, time.Now().UnixNano())
}

// connect connects as a role until the test ends.
func connect(t *testing.T, url, role string) *stream.Conn {
	t.Helper()
	conn, err := stream.Connect(t.Context(), stream.Config{URL: url, Name: role})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// With a consumer's credentials nothing can be done but a consumer's job: each of these is
// refused by the server, and nothing has changed after all of them.
func TestAConsumersCredentialsAreRefusedWhatWouldHurtOthers(t *testing.T) {
	address := serve(t)
	as := func(role string) *stream.Conn { return connect(t, address(role), role) }
	producer, sink := as("producer"), as("sink")
	result := held(t, producer, as("consumer"), sink)
	liar := newRaw(t, address("consumer"), "consumer")

	subjects := []string{
		"gleaner.work.words.0000007", "gleaner.hello.words", "gleaner.dead.words.0000002.more", "$KV.gleaner_consumers.a.b", "$KV.other.a",
		ackOf(""), ackOf("_.account."), "$JS.ACK.GLEANER_DEAD.mirror.1.1.1.1.0", "$JS.ACK._.account.GLEANER_DEAD.mirror.1.1.1.1.0",
		"$JS.API.INFO", "$JS.API.STREAM.LIST", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.CREATE.MINE", "$JS.API.STREAM.RESTORE.MINE",
		"$JS.API.CONSUMER.CREATE.GLEANER_RESULTS", "$JS.API.CONSUMER.CREATE.GLEANER_RESULTS.spy", "$JS.API.CONSUMER.DURABLE.CREATE.GLEANER_RESULTS.spy",
		"$JS.API.CONSUMER.CREATE.GLEANER_RESULTS.spy.gleaner.result.>", "$JS.API.CONSUMER.CREATE.GLEANER_WORK.words", "$JS.API.CONSUMER.CREATE.GLEANER_DEAD.spy",
		"$JS.API.CONSUMER.PAUSE.GLEANER_WORK.words", "$JS.API.CONSUMER.DELETE.GLEANER_WORK.words", "$JS.API.CONSUMER.DELETE.GLEANER_RESULTS.sink",
		"$JS.API.CONSUMER.MSG.NEXT.GLEANER_RESULTS.sink", "$JS.API.CONSUMER.MSG.NEXT.GLEANER_DEAD.mirror", "$JS.API.CONSUMER.UNPIN.GLEANER_WORK.words",
		"_INBOX_sink.forged", "_INBOX_producer.forged", "_INBOX.forged", "$SYS.REQ.SERVER.PING",
	}
	for _, name := range []string{"GLEANER_WORK", "GLEANER_RESULTS", "GLEANER_DEAD", "KV_gleaner_consumers"} {
		for _, call := range []string{"DELETE", "PURGE", "UPDATE", "CREATE", "INFO", "MSG.GET", "MSG.DELETE", "SNAPSHOT", "RESTORE"} {
			subjects = append(subjects, "$JS.API.STREAM."+call+"."+name)
		}
		subjects = append(subjects, "$JS.API.DIRECT.GET."+name, "$JS.API.DIRECT.GET."+name+".gleaner.work.words.0000001")
	}
	for _, subject := range subjects {
		if err := liar.nc.PublishRequest(subject, "_INBOX_consumer.reply", []byte("+ACK")); err != nil {
			t.Fatal(err)
		}
		liar.isRefused("Publish", subject)
	}
	for _, subject := range []string{">", "*", "_INBOX.>", "_INBOX_sink.>", "_INBOX_producer.>", "gleaner.>", "gleaner.work.>", "gleaner.result.>", "$JS.ACK.>", "$JS.EVENT.>", "$KV.>", "$SYS.>"} {
		if _, err := liar.nc.SubscribeSync(subject); err != nil {
			t.Fatal(err)
		}
		liar.isRefused("Subscription", subject)
	}
	unchanged(t, producer, result)
}

// Replies go where the asker says, sent by the server, whom no permission binds. It takes no
// ack's subject for a reply, so the sink's ack cannot be forged in this way, and what it says in
// JSON is no request to JetStream.
func TestAReplyIsNoWayToForgeAnAckOrARequest(t *testing.T) {
	address := serve(t)
	as := func(role string) *stream.Conn { return connect(t, address(role), role) }
	producer, sink := as("producer"), as("sink")
	result := held(t, producer, as("consumer"), sink)
	if err := producer.EnsureRun(t.Context(), pipeline.Run{Name: "empty", UID: "uid", Spec: pipeline.Spec{Model: "tiny"}}); err != nil {
		t.Fatal(err)
	}
	liar := newRaw(t, address("consumer"), "consumer")
	requests := map[string]string{ // answered with a status that has no content, a confirmation in JSON, and an info
		"$JS.API.CONSUMER.MSG.NEXT.GLEANER_WORK.empty": `{"batch":1,"no_wait":true}`,
		"$KV.gleaner_consumers.01LIAR":                 `{}`,
		"$JS.API.CONSUMER.INFO.GLEANER_WORK.empty":     ``,
	}
	for _, reply := range []string{
		ackOf(""), ackOf("_.account."), "$JS.API.STREAM.DELETE.GLEANER_RESULTS", "$JS.API.STREAM.PURGE.GLEANER_RESULTS",
		"$JS.API.STREAM.MSG.DELETE.GLEANER_DEAD", "$JS.API.CONSUMER.DELETE.GLEANER_RESULTS.sink", "$JS.API.CONSUMER.PAUSE.GLEANER_WORK.words",
	} {
		for subject, body := range requests {
			if strings.Contains(subject, "MSG.NEXT") && !strings.HasPrefix(reply, "$JS.ACK.") {
				continue // a hole in the server, see permissions.conf
			}
			if err := liar.nc.PublishRequest(subject, reply, []byte(body)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := liar.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	// What the server answers last comes after all the others.
	if _, err := liar.nc.Request("$JS.API.CONSUMER.INFO.GLEANER_WORK.empty", nil, 30*time.Second); err != nil {
		t.Fatal(err)
	}
	unchanged(t, producer, result)
}

// unchanged fails unless everything is there as held left it, and the sink's own ack counts.
func unchanged(t *testing.T, producer *stream.Conn, result pipeline.Delivery[pipeline.Results]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	depth, err := producer.Depth(ctx, run.Name)
	depth.Untaken = 0 // how long the result waits, which is some time
	if want := (pipeline.StreamDepth{Waiting: 1, Results: 1}); err != nil || depth != want {
		t.Errorf("on the streams is %+v, %v, want %+v", depth, err, want)
	}
	if queued, err := producer.InWork(ctx, run.Name, 1); err != nil || !queued {
		t.Errorf("batch 1 is on the queue: %v, %v", queued, err)
	}
	if _, there, err := producer.DeadLetter(ctx, run.Name, 2); err != nil || !there {
		t.Errorf("the dead letter is there: %v, %v", there, err)
	}
	if err := result.Ack(ctx); err != nil {
		t.Fatal(err)
	}
	for depth.Results > 0 && err == nil {
		depth, err = producer.Depth(ctx, run.Name)
	}
	if err != nil {
		t.Errorf("after the sink's ack: %+v, %v", depth, err)
	}
}
