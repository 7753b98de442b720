package stream

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gleaner/internal/natsd/natsdtest"
	"gleaner/internal/pipeline"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// presentAre waits until these consumers are present, in this order.
func presentAre(t *testing.T, c *Conn, want ...string) {
	t.Helper()
	var got []string
	eventually(t, func() bool {
		present, err := c.Consumers(t.Context())
		got = nil
		for _, p := range present {
			got = append(got, p.ID)
		}
		return err == nil && fmt.Sprint(got) == fmt.Sprint(want)
	}, func() string { return fmt.Sprintf("present are %q, want %q", got, want) })
}

// Reading the reports of all consumers again and again cost more than all else without work.
func TestReportsOfConsumersAreReadOnceAndThenHeard(t *testing.T) {
	t.Parallel()
	server := serve(t)
	sender, c := ready(t, Config{URL: server.URL()}), connect(t, Config{URL: server.URL()})
	must(t, sender.PutPresence(t.Context(), pipeline.Presence{ID: "01A"}))
	presentAre(t, c, "01A")
	var asked atomic.Int64
	_, err := admin(t, server.URL()).Conn().Subscribe("$JS.API.STREAM.INFO."+bucketStream, func(*nats.Msg) { asked.Add(1) })
	must(t, err)
	must(t, sender.PutPresence(t.Context(), pipeline.Presence{ID: "01B"}))
	presentAre(t, c, "01A", "01B")
	bucket, err := sender.js.KeyValue(t.Context(), Bucket)
	must(t, err)
	must(t, bucket.Delete(t.Context(), "01A"))
	presentAre(t, c, "01B")
	if n := asked.Load(); n > 1 { // the one for the deletion
		t.Errorf("the bucket was asked for %d times", n)
	}
	server.Restart()
	put := func() bool { return sender.PutPresence(t.Context(), pipeline.Presence{ID: "01C"}) == nil }
	eventually(t, put, func() string { return "no connection" }) // perhaps before the other has one
	presentAre(t, c, "01B", "01C")
}

func TestWhoMayNotListenReadsTheReportsEachTime(t *testing.T) {
	t.Parallel()
	publish := []string{"$JS.API.STREAM.INFO." + bucketStream, "$JS.API.CONSUMER.CREATE." + bucketStream + ".>", "$JS.API.CONSUMER.DELETE." + bucketStream + ".>", "$JS.FC." + bucketStream + ".>"}
	s := natsdtest.Start(t, usersConfig(&server.User{Username: "op", Password: "pw"}, natsdtest.User("looker", "pw", publish, []string{inboxPrefix("looker") + ".>"})))
	sender := ready(t, Config{URL: withUser(s.URL(), "op", "pw")})
	log, logs := observed()
	looker := connect(t, Config{URL: withUser(s.URL(), "looker", "pw"), Log: log})
	for _, id := range []string{"01A", "01B", "01C"} {
		must(t, sender.PutPresence(t.Context(), pipeline.Presence{ID: id}))
		present, err := looker.Consumers(t.Context())
		must(t, err)
		if len(present) == 0 || present[len(present)-1].ID != id {
			t.Errorf("%s is not among the %d that are present", id, len(present))
		}
	}
	if logs.Len() > 0 {
		t.Errorf("it said %v", logs.All())
	}
}

// One who may report a consumer may report any number, and the server passes on also what the
// bucket has no room for.
func TestReportsThatAreHeardAreBounded(t *testing.T) {
	r := &roster{reports: map[string]report{}, keep: time.Hour}
	for i := range pipeline.PresenceKeys + 5 {
		id := fmt.Sprintf("c%d", i)
		r.hear(&nats.Msg{Subject: presenceSubject(id), Data: []byte(`{"id":"` + id + `"}`)})
	}
	if len(r.reports) != pipeline.PresenceKeys {
		t.Errorf("%d are known, want %d", len(r.reports), pipeline.PresenceKeys)
	}
}

// All that a process that follows a run asks for in each lease is one durable.
func TestARunIsKeptByOneQuestionUnlessSomethingMayBeGone(t *testing.T) {
	t.Parallel()
	server := serve(t)
	c := connect(t, Config{URL: server.URL()})
	for range 2 { // the first one found that all was missing
		_, err := c.KeepRun(t.Context(), testRun("r"))
		must(t, err)
	}
	js := admin(t, server.URL())
	asked := make(chan string, 1000)
	_, err := js.Conn().Subscribe("$JS.API.>", func(m *nats.Msg) { asked <- m.Subject })
	must(t, err)
	must(t, js.Conn().Flush())
	keep := func() (subjects []string) {
		t.Helper()
		info, err := c.KeepRun(t.Context(), testRun("r"))
		must(t, err)
		if info.UID != testRun("r").UID {
			t.Errorf("it says %+v", info)
		}
		must(t, js.Conn().Flush()) // what was asked has been seen
		for len(asked) > 0 {
			subjects = append(subjects, strings.TrimPrefix(<-asked, "$JS.API."))
		}
		return subjects
	}
	if got := keep(); len(got) != 1 || got[0] != "CONSUMER.INFO."+WorkStream+".r" {
		t.Errorf("it asked for %q", got)
	}
	must(t, js.DeleteStream(t.Context(), DeadStream))
	_, _, _ = c.DeadLetter(t.Context(), "r", 1) // finds that it is gone
	keep()
	if _, err := js.Stream(t.Context(), DeadStream); err != nil {
		t.Errorf("the stream that was gone: %v", err)
	}
	must(t, js.DeleteStream(t.Context(), ResultsStream))
	server.Restart()
	eventually(t, func() bool { return c.nc.Stats().Reconnects > 0 && c.nc.IsConnected() }, func() string { return "no reconnect" })
	keep()
	if _, err := js.Stream(t.Context(), ResultsStream); err != nil {
		t.Errorf("the stream that was gone with the connection: %v", err)
	}
}
