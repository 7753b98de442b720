package stream

import (
	"strings"
	"testing"

	"gleaner/internal/natsd"
	"gleaner/internal/natsd/natsdtest"
	"gleaner/internal/pipeline"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
)

func usersConfig(users ...*server.User) natsd.Config {
	return natsd.Config{Adjust: natsdtest.Users(users...)}
}

func withoutJetStream() natsd.Config {
	return natsd.Config{Adjust: func(o *server.Options) { o.JetStream = false }}
}

func withUser(url, name, password string) string {
	return strings.Replace(url, "nats://", "nats://"+name+":"+password+"@", 1)
}

// A team has an operator, who may do everything, and a consumer with the least that it needs.
func team(t *testing.T) (operator, consumer *Conn) {
	t.Helper()
	publish, subscribe := ConsumerPermissions("gpu")
	s := natsdtest.Start(t, usersConfig(&server.User{Username: "op", Password: "pw"}, natsdtest.User("gpu", "pw", publish, subscribe)))
	operator = ready(t, Config{URL: withUser(s.URL(), "op", "pw")})
	return operator, connect(t, Config{URL: withUser(s.URL(), "gpu", "pw")})
}

func TestConsumerDoesItsWholeJobWithTheLeastPermissions(t *testing.T) {
	operator, consumer := team(t)
	runs, err := consumer.Runs(t.Context())
	must(t, err)
	if len(runs) != 1 || runs[0].Run != "r" {
		t.Errorf("%+v", runs)
	}
	info, err := consumer.RunInfo(t.Context(), "r")
	must(t, err)
	if info.Model != "tiny" {
		t.Errorf("%+v", info)
	}
	must(t, operator.Publish(t.Context(), testWork("r", 1)))
	source := consumer.Work("r")
	d := next(t, source)
	must(t, d.Extend(t.Context()))
	must(t, d.HandBack(t.Context(), 0))
	d = next(t, source)
	if d.Deliveries != 2 {
		t.Errorf("%d deliveries", d.Deliveries)
	}
	must(t, consumer.PublishResults(t.Context(), testResults("r", 1, "Because.")))
	must(t, d.Ack(t.Context()))
	must(t, operator.Publish(t.Context(), testWork("r", 2)))
	must(t, next(t, source).Reject(t.Context(), "no good"))
	want := pipeline.Presence{ID: "01JABC", Run: "r"}
	must(t, consumer.PutPresence(t.Context(), want))
	must(t, consumer.Healthy(t.Context()))
	present, err := operator.Consumers(t.Context())
	must(t, err)
	if diff := cmp.Diff([]pipeline.Presence{want}, present); diff != "" {
		t.Error(diff)
	}
	depthIs(t, operator, "r", pipeline.StreamDepth{Results: 1})
}

func TestConsumerCannotDoAnybodyElsesJob(t *testing.T) {
	operator, consumer := team(t)
	wantError(t, consumer.Publish(t.Context(), testWork("r", 1)), pipeline.Fatal, "gleaner.work")
	wantError(t, consumer.RemoveRun(t.Context(), "r"), pipeline.Fatal, "CONSUMER.DELETE")

	must(t, consumer.PublishResults(t.Context(), testResults("r", 1, "Because.")))
	results, err := operator.Results(t.Context(), 1, 5e9)
	must(t, err)
	// With a wider permission it could forge the sink's ack.
	stolen := results[0].Receipt.(*receipt)
	forged := receipt{c: consumer.client, reply: stolen.reply, lease: stolen.lease, renewedAt: stolen.renewedAt}
	wantError(t, forged.Ack(t.Context()), pipeline.Fatal, "$JS.ACK.GLEANER_RESULTS")
	depthIs(t, operator, "r", pipeline.StreamDepth{Results: 1})
	// Last, since it asks for two things at once, and the second refusal may reach what comes next.
	wantError(t, consumer.EnsureRun(t.Context(), testRun("other")), pipeline.Fatal, "permission")
}

// The permissions that the tools for dead letters and the mirror need besides those of publishing
// and of storing results.
func TestDeadLettersAreTendedWithFewPermissions(t *testing.T) {
	inbox := func(user string) []string { return []string{inboxPrefix(user) + ".>"} }
	s := natsdtest.Start(t, usersConfig(&server.User{Username: "op", Password: "pw"},
		natsdtest.User("producer", "pw", []string{
			"$JS.API.STREAM.INFO." + WorkStream, "$JS.API.STREAM.INFO." + ResultsStream, "$JS.API.STREAM.INFO." + DeadStream,
			"$JS.API.DIRECT.GET." + DeadStream, "$JS.API.STREAM.MSG.GET." + DeadStream, "$JS.API.STREAM.MSG.DELETE." + DeadStream,
			"$JS.API.CONSUMER.INFO." + WorkStream + ".*", "$JS.API.CONSUMER.PAUSE." + WorkStream + ".*", "$JS.API.CONSUMER.DELETE." + WorkStream + ".*", "$JS.API.STREAM.PURGE." + WorkStream,
		}, inbox("producer")),
		natsdtest.User("sink", "pw", []string{
			"$JS.API.CONSUMER.INFO." + DeadStream + "." + mirrorDurable, "$JS.API.CONSUMER.MSG.NEXT." + DeadStream + "." + mirrorDurable,
			"$JS.ACK." + DeadStream + "." + mirrorDurable + ".>", "$JS.ACK.*.*." + DeadStream + "." + mirrorDurable + ".>",
		}, inbox("sink"))))
	operator := ready(t, Config{URL: withUser(s.URL(), "op", "pw")})
	producer, sink := connect(t, Config{URL: withUser(s.URL(), "producer", "pw")}), connect(t, Config{URL: withUser(s.URL(), "sink", "pw")})

	must(t, operator.PublishDeadLetter(t.Context(), testDeadLetter("r", 1, "x")))
	must(t, operator.Publish(t.Context(), testWork("r", 2)))
	d := take(t, sink, 1)[0]
	must(t, d.Extend(t.Context()))
	must(t, d.Ack(t.Context()))
	eventually(t, func() bool {
		info, err := operator.durableInfo(t.Context(), DeadStream, mirrorDurable)
		return err == nil && info.NumAckPending == 0 && info.NumPending == 0
	}, func() string { return "the ack did not come" })

	locationIs(t, producer, 2, true, false)
	if letters := all(t, producer, "r"); len(letters) != 1 {
		t.Errorf("%d dead letters", len(letters))
	}
	letter, _, err := producer.DeadLetter(t.Context(), "r", 1)
	must(t, err)
	must(t, producer.DeleteDeadLetter(t.Context(), letter.Sequence))
	must(t, producer.DeleteDeadLetter(t.Context(), letter.Sequence))
	must(t, producer.PauseRun(t.Context(), testRun("r")))
	must(t, producer.ResumeRun(t.Context(), "r"))
	removed, err := producer.CancelRun(t.Context(), "r")
	must(t, err)
	if removed != 1 {
		t.Errorf("%d are removed", removed)
	}
}
