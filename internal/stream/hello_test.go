package stream

import (
	"testing"
	"time"

	"gleaner/internal/natsd/natsdtest"
	"gleaner/internal/pipeline"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
)

// hears returns a channel with the news that a connection gets of a run.
func hears(t *testing.T, c *Conn, run string) <-chan pipeline.RunNews {
	t.Helper()
	heard := make(chan pipeline.RunNews, 10)
	stop, err := c.HearNews(run, func(news pipeline.RunNews) { heard <- news })
	must(t, err)
	t.Cleanup(stop)
	must(t, c.Healthy(t.Context())) // the server has the subscription by then
	return heard
}

func hear(t *testing.T, heard <-chan pipeline.RunNews, want pipeline.RunNews) {
	t.Helper()
	select {
	case got := <-heard:
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("news (-want +got):\n%s", diff)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("%+v did not come", want)
	}
}

func TestConsumersAreToldNewsOfTheirRunAlone(t *testing.T) {
	operator, consumer := team(t)
	heard, other := hears(t, consumer, "r"), hears(t, consumer, "other")
	must(t, operator.TellConsumers(t.Context(), testRun("r"), pipeline.NewsPublished))
	must(t, operator.TellConsumers(t.Context(), testRun("other"), pipeline.NewsCancelled))
	hear(t, heard, pipeline.RunNews{UID: testRun("r").UID, What: pipeline.NewsPublished})
	hear(t, other, pipeline.RunNews{UID: testRun("other").UID, What: pipeline.NewsCancelled})
	if err := operator.nc.Publish(helloSubject("r"), []byte("no news")); err != nil {
		t.Fatal(err)
	}
	must(t, operator.TellConsumers(t.Context(), testRun("r"), pipeline.NewsComplete))
	hear(t, heard, pipeline.RunNews{UID: testRun("r").UID, What: pipeline.NewsComplete})
}

func TestWhoMayNotHearNewsWorksAllTheSame(t *testing.T) {
	publish, _ := ConsumerPermissions("gpu")
	s := natsdtest.Start(t, usersConfig(&server.User{Username: "op", Password: "pw"}, natsdtest.User("gpu", "pw", publish, []string{inboxPrefix("gpu") + ".>"})))
	operator := ready(t, Config{URL: withUser(s.URL(), "op", "pw")})
	consumer := connect(t, Config{URL: withUser(s.URL(), "gpu", "pw")})
	source := consumer.Work("r")
	taken := make(chan error, 1)
	go func() {
		_, err := source.Next(t.Context())
		taken <- err
	}()
	stop, err := consumer.HearNews("r", func(pipeline.RunNews) {})
	must(t, err)
	defer stop()
	must(t, consumer.Healthy(t.Context()))
	wantError(t, consumer.TellConsumers(t.Context(), pipeline.Run{Name: "no name"}, pipeline.NewsComplete), pipeline.Retryable, "not allowed")
	must(t, operator.Publish(t.Context(), testWork("r", 1)))
	select {
	case err := <-taken:
		must(t, err)
	case <-time.After(10 * time.Second):
		t.Fatal("it got no work")
	}
}

func TestAfterAnOutageSomeNewsMayBeMissing(t *testing.T) {
	s := natsdtest.Start(t, usersConfig())
	c := ready(t, Config{URL: s.URL()})
	heard := hears(t, c, "r")
	s.Restart()
	hear(t, heard, pipeline.RunNews{What: pipeline.NewsMissed})
}
