package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gleaner/internal/pipeline"
)

// toldAfterAMinute returns a config of a consumer that works for the run of the world and is told
// these news after a minute. From then on the queue says this of the run.
func toldAfterAMinute(news pipeline.RunNews, then pipeline.RunInfo, absent error) Config {
	cfg := config()
	cfg.Known = pipeline.RunInfo{Run: "r", UID: "u"}
	began := time.Now()
	cfg.Info = func(context.Context) (pipeline.RunInfo, error) {
		if time.Since(began) < time.Minute {
			return cfg.Known, nil
		}
		return then, absent
	}
	cfg.News = func(listen func(pipeline.RunNews)) (func(), error) {
		if news.What != "" {
			time.AfterFunc(time.Minute, func() { listen(news) })
		}
		return func() {}, nil
	}
	return cfg
}

func TestAConsumerEndsWithItsRunAndSaysWhy(t *testing.T) {
	there := pipeline.RunInfo{Run: "r", UID: "u"}
	another := pipeline.RunInfo{Run: "r", UID: "another"}
	gone := fmt.Errorf("run r is not on the stream: %w", pipeline.ErrNoRun)
	for name, c := range map[string]struct {
		news   pipeline.RunNews
		then   pipeline.RunInfo
		absent error
		within time.Duration // after a minute
		want   string        // empty: it ends without an error
	}{
		"cancelled":                  {pipeline.RunNews{UID: "u", What: pipeline.NewsCancelled}, there, nil, 2 * time.Second, "run r was cancelled"},
		"deleted":                    {pipeline.RunNews{UID: "u", What: pipeline.NewsDeleted}, there, gone, 2 * time.Second, "run r was deleted"},
		"another load is published":  {pipeline.RunNews{UID: "another", What: pipeline.NewsPublished}, another, nil, 2 * time.Second, "run r was deleted, and another one is published under its name"},
		"the news were missed":       {pipeline.RunNews{What: pipeline.NewsMissed}, another, nil, 2 * time.Second, "another one is published"},
		"nothing was said of a load": {pipeline.RunNews{}, another, nil, 16 * time.Second, "another one is published"},
		"nothing was said of an end": {pipeline.RunNews{}, there, gone, goneAfter*pipeline.DefaultLease + AskEvery, "it was cancelled or deleted"},
		"complete":                   {pipeline.RunNews{UID: "u", What: pipeline.NewsComplete}, pipeline.RunInfo{Run: "r", UID: "u", Complete: true}, nil, 2 * time.Second, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.stock(2)
				took, err := w.ends(w.start(toldAfterAMinute(c.news, c.then, c.absent), LaneConfig{Backend: &fakeModel{}, Slots: 1}))
				if took < time.Minute || took > time.Minute+c.within {
					t.Errorf("it ended after %s", took)
				}
				if (c.want != "") != errors.Is(err, ErrRunOver) || c.want != "" && !strings.Contains(err.Error(), c.want) {
					t.Errorf("it ended with %v", err)
				}
			})
		})
	}
}

// A server that has lost everything gets it back from the process that follows the run.
func TestARunThatTheServerHasLostIsWaitedFor(t *testing.T) {
	for name, absent := range map[string]error{
		"for a while":               fmt.Errorf("run r: %w", pipeline.ErrNoRun),
		"with all that it had":      fmt.Errorf("run r: %w: %w", pipeline.ErrNoRun, pipeline.ErrNoStreams),
		"and it does not answer":    pipeline.Fail(pipeline.Retryable, "there is no connection"),
		"and then it is not itself": pipeline.Fail(pipeline.Fatal, "the user may not ask"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				cfg := toldAfterAMinute(pipeline.RunNews{}, pipeline.RunInfo{}, absent)
				r := w.start(cfg, LaneConfig{Backend: &fakeModel{}, Slots: 1})
				defer r.stop()
				wait := time.Hour
				if name == "for a while" {
					wait = 9 * time.Minute
				}
				select {
				case err := <-r.done:
					t.Errorf("it ended with %v", err)
				case <-time.After(wait):
				}
			})
		})
	}
}

func TestAMessageOfAnotherLoadIsTakenOffTheQueueAndNeverRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.addWork(1, 1, func(work *pipeline.Work) { work.UID = "earlier" }, "a")
		w.add(2, 1, "b")
		m := &fakeModel{}
		r := w.start(toldAfterAMinute(pipeline.RunNews{}, pipeline.RunInfo{Run: "r", UID: "u"}, nil), LaneConfig{Backend: m, Slots: 1})
		time.Sleep(30 * time.Second)
		r.stop()
		if got := w.story(1); !slices.Equal(got, []string{"take", "reject"}) {
			t.Errorf("%q", got)
		}
		if got := w.story(2); !slices.Equal(got, []string{"take", "publish", "ack"}) {
			t.Errorf("%q", got)
		}
	})
}
