package nats_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"gleaner/internal/natsd"
	"gleaner/internal/natsd/natsdtest"
	"gleaner/internal/pipeline"
	"gleaner/internal/stream"
)

// roles returns connections of roles to a real server with the users of permissions.conf.
func roles(t *testing.T) func(role string) *stream.Conn {
	t.Helper()
	address := serve(t)
	return func(role string) *stream.Conn {
		conn, err := stream.Connect(t.Context(), stream.Config{URL: address(role), Name: role})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Close)
		return conn
	}
}

// serve runs the server and returns its address with a role's credentials.
func serve(t *testing.T) (address func(role string) string) {
	t.Helper()
	for _, role := range []string{"PRODUCER", "CONSUMER", "SINK", "OPERATOR"} {
		t.Setenv("GLEANER_"+role+"_PASSWORD", "secret")
	}
	file, err := server.ProcessConfigFile("permissions.conf")
	if err != nil {
		t.Fatal(err)
	}
	s := natsdtest.Start(t, natsd.Config{Port: -1, Adjust: func(o *server.Options) { o.Users, o.Accounts = file.Users, file.Accounts }})
	return func(role string) string { return strings.Replace(s.URL(), "nats://", "nats://"+role+":secret@", 1) }
}

var run = pipeline.Run{Name: "words", UID: "uid", Spec: pipeline.Spec{Model: "tiny"}}

func work(batch int) pipeline.Work {
	return pipeline.Work{
		Run: run.Name, UID: run.UID, Batch: batch, Round: 1, Model: "tiny", Options: pipeline.Options{NumPredict: 10},
		Generations: []pipeline.Generation{{Item: batch, Messages: pipeline.User("What?")}},
	}
}

func results(batch int) pipeline.Results {
	return pipeline.Results{Run: run.Name, UID: run.UID, Batch: batch, Round: 1, Consumer: "c", Results: []pipeline.Result{{Item: batch, Text: "That.", Finish: "stop"}}}
}

func letter(batch int) pipeline.DeadLetter {
	return pipeline.DeadLetter{
		Run: run.Name, UID: run.UID, Batch: batch, Round: 1, Class: pipeline.BadItem, Message: "too long", FailedAt: time.Now().UTC(),
		Failures: []pipeline.GenerationFailure{{Generation: work(batch).Generations[0], Class: pipeline.BadItem, Message: "too long"}},
	}
}

func TestEachRoleDoesItsWholeJob(t *testing.T) {
	as := roles(t)
	producer, consumer, sink := as("producer"), as("consumer"), as("sink")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	store := pipeline.StoreIdentity{ID: "01STORE", Name: "mongodb://host/gleaner"}
	must("producer ensures", producer.Ensure(ctx))
	producer.Own(store)
	must("producer writes whose the streams are", producer.WriteOwner(ctx, false))
	owners, err := sink.Owners(ctx, false)
	must("sink asks whose the streams are", err)
	if len(owners) != 3 || owners[2].StoreIdentity != store {
		t.Errorf("the owners are %+v", owners)
	}
	_, err = sink.Runs(ctx)
	must("sink lists the runs of streams that do not say it", err)
	must("producer ensures a run", producer.EnsureRun(ctx, run))
	for batch := range 2 {
		must("producer publishes", producer.Publish(ctx, work(batch)))
	}
	if _, err := consumer.Runs(ctx); err != nil {
		t.Fatal(err)
	}
	must("consumer says that it is there", consumer.PutPresence(ctx, pipeline.Presence{ID: "01J", Run: run.Name}))
	news := make(chan pipeline.RunNews, 1)
	stop, err := consumer.HearNews(run.Name, func(n pipeline.RunNews) { news <- n })
	must("consumer listens", err)
	defer stop()
	must("consumer is connected", consumer.Healthy(ctx))
	must("producer tells", producer.TellConsumers(ctx, run, pipeline.NewsPublished))
	select {
	case <-news:
	case <-ctx.Done():
		t.Fatal("the consumer does not hear the producer")
	}
	source := consumer.Work(run.Name)
	for batch := range 2 {
		d, err := source.Next(ctx)
		must("consumer takes work", err)
		must("consumer extends", d.Extend(ctx))
		if batch == 0 {
			must("consumer publishes results", consumer.PublishResults(ctx, results(d.Body.Batch)))
		} else {
			must("consumer publishes a dead letter", consumer.PublishDeadLetter(ctx, letter(d.Body.Batch)))
		}
		must("consumer acks", d.Ack(ctx))
	}
	stored, err := sink.Results(ctx, 1, 10*time.Second)
	must("sink takes results", err)
	must("sink acks results", stored[0].Ack(ctx))
	dead, err := sink.DeadLettersToMirror(ctx, 1, 10*time.Second)
	must("sink takes dead letters", err)
	must("sink acks dead letters", dead[0].Ack(ctx))
	for _, err := range sink.DeadLetters(ctx, run.Name) {
		must("sink reads dead letters for an export", err)
	}
	_, _, err = sink.DeadLetter(ctx, run.Name, 1)
	must("sink reads the dead letter of a batch", err)
	_, err = sink.Consumers(ctx)
	must("sink looks who is there", err)
	_, err = producer.Consumers(ctx)
	must("producer looks who is there", err)
	_, err = producer.Depth(ctx, run.Name)
	must("producer counts", err)
	_, err = producer.InWork(ctx, run.Name, 1)
	must("producer looks for a batch", err)
	_, err = producer.InResults(ctx, run.Name, 1)
	must("producer looks for results", err)
	found, ok, err := producer.DeadLetter(ctx, run.Name, 1)
	if err != nil || !ok {
		t.Fatalf("producer reads a dead letter: %v %v", ok, err)
	}
	for _, err := range producer.DeadLetters(ctx, run.Name) {
		must("producer lists dead letters", err)
	}
	must("producer writes the letter of a row that is too large", producer.PublishDeadLetter(ctx, found.DeadLetter))
	must("producer deletes a dead letter", producer.DeleteDeadLetter(ctx, found.Sequence))
	message, ok, err := producer.FindWork(ctx, run.Name, 0)
	must("producer reads a message", err)
	if ok {
		t.Errorf("acknowledged work is still there: %+v", message)
	}
	must("producer takes a message off the queue", producer.RemoveWork(ctx, run.Name, 0, 1))
	must("producer reports on a run", producer.ReportRun(ctx, run, 1, 0))
	must("producer pauses", producer.PauseRun(ctx, run))
	must("producer resumes", producer.ResumeRun(ctx, run.Name))
	must("producer removes a run", producer.RemoveRun(ctx, run.Name))
}

func TestNoRoleDoesAnotherOnesJob(t *testing.T) {
	as := roles(t)
	producer, consumer, sink := as("producer"), as("consumer"), as("sink")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := producer.Ensure(ctx); err != nil {
		t.Fatal(err)
	}
	if err := producer.EnsureRun(ctx, run); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"consumer publishes work":    consumer.Publish(ctx, work(1)),
		"consumer makes a durable":   consumer.EnsureRun(ctx, pipeline.Run{Name: "other"}),
		"consumer removes a run":     consumer.RemoveRun(ctx, run.Name),
		"consumer deletes a letter":  consumer.DeleteDeadLetter(ctx, 1),
		"sink publishes work":        sink.Publish(ctx, work(1)),
		"sink makes a durable":       sink.EnsureRun(ctx, pipeline.Run{Name: "other"}),
		"sink publishes results":     sink.PublishResults(ctx, results(1)),
		"sink removes a run":         sink.RemoveRun(ctx, run.Name),
		"producer publishes results": producer.PublishResults(ctx, results(1)),
	} {
		if pipeline.ClassOf(err) != pipeline.Fatal || err == nil {
			t.Errorf("%s: %v, want a refusal", what, err)
		}
	}
}

// What the file says of its own limits, SECURITY.md says in the same words.
func TestTheFileAndSecurityPageSayTheSameOfWhatNoPermissionPrevents(t *testing.T) {
	conf, err := os.ReadFile("permissions.conf")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	words := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	_, said, found := strings.Cut(strings.ReplaceAll(string(conf), "#", ""), "What permissions cannot prevent")
	said, _, ends := strings.Cut(said, "The limits below")
	if !found || !ends || len(said) < 500 || !strings.Contains(words(string(page)), words(said)) {
		t.Errorf("SECURITY.md does not say: %s", words(said))
	}
}

// A server's configuration has limits for an account only.
func TestTheAccountHasLimits(t *testing.T) {
	address := serve(t)
	r := newRaw(t, address("consumer"), "consumer")
	if r.nc.MaxPayload() != 1<<20 {
		t.Errorf("a message may have %d bytes", r.nc.MaxPayload())
	}
	for i := range 10_001 {
		if _, err := r.nc.SubscribeSync(fmt.Sprint("_INBOX_consumer.", i)); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-r.refused:
		if !errors.Is(err, nats.ErrMaxSubscriptionsExceeded) && !strings.Contains(err.Error(), "maximum subscriptions exceeded") {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Error("a connection may have any number of subscriptions")
	}
	file, err := server.ProcessConfigFile("permissions.conf")
	if err != nil {
		t.Fatal(err)
	}
	if len(file.Accounts) != 1 || file.Accounts[0].MaxActiveConnections() != 1000 {
		t.Errorf("%d accounts; of the first, any number of connections", len(file.Accounts))
	}
}
