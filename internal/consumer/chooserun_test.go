package consumer

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"gleaner/internal/pipeline"
)

// published is runs as they are listed, by the time at which they begin to be.
type published struct {
	began time.Time
	runs  map[time.Duration][]pipeline.RunInfo // since began
	err   error
	away  time.Duration // since began, until when the server does not answer
	hello time.Duration // since began, when the run that is waited for is said to be published; 0: never
	asked int
}

func (p *published) HearNews(_ string, listen func(pipeline.RunNews)) (func(), error) {
	if p.hello == 0 {
		return func() {}, nil
	}
	timer := time.AfterFunc(time.Until(p.began.Add(p.hello)), func() { listen(pipeline.RunNews{What: pipeline.NewsPublished}) })
	return func() { timer.Stop() }, nil
}

func (p *published) RunInfo(ctx context.Context, name string) (pipeline.RunInfo, error) {
	runs, err := p.Runs(ctx)
	if err != nil {
		return pipeline.RunInfo{}, err
	}
	for _, run := range runs {
		if run.Run == name {
			return run, nil
		}
	}
	return pipeline.RunInfo{}, fmt.Errorf("run %s: %w", name, pipeline.ErrNoRun)
}

func (p *published) Runs(ctx context.Context) ([]pipeline.RunInfo, error) {
	p.asked++
	if time.Since(p.began) < p.away {
		return nil, pipeline.Fail(pipeline.Retryable, "there is no connection")
	}
	var newest time.Duration
	for at := range p.runs {
		if at <= time.Since(p.began) {
			newest = max(newest, at)
		}
	}
	return p.runs[newest], errors.Join(p.err, ctx.Err())
}

func listed(runs ...pipeline.RunInfo) map[time.Duration][]pipeline.RunInfo {
	return map[time.Duration][]pipeline.RunInfo{0: runs}
}

var (
	words = pipeline.RunInfo{Run: "words", Model: "tiny", Lease: time.Minute}
	chats = pipeline.RunInfo{Run: "chats", Model: "tiny"}
	done  = pipeline.RunInfo{Run: "done", Model: "tiny", Complete: true}
	past  = pipeline.RunInfo{Run: "past", Model: "tiny", Complete: true}
	mock  = pipeline.RunInfo{Run: "mock", Model: "simulated/sim", Simulated: true}
	mimic = pipeline.RunInfo{Run: "mimic", Model: "simulated/sim", Simulated: true, Complete: true}
)

func TestTheRunIsTheNamedOneOrTheOnlyOne(t *testing.T) {
	for _, c := range []struct {
		name string
		runs []pipeline.RunInfo
		cfg  ChooseConfig
		want pipeline.RunInfo
		err  string
		idle bool // the error is that there is nothing to do
	}{
		{"the only one", []pipeline.RunInfo{words}, ChooseConfig{}, words, "", false},
		{"the only one that is not complete", []pipeline.RunInfo{done, words, past}, ChooseConfig{}, words, "", false},
		{"the only one, complete, to stay", []pipeline.RunInfo{done}, ChooseConfig{Stay: true}, done, "", false},
		{"a named one among others", []pipeline.RunInfo{chats, done, words}, ChooseConfig{Run: "words"}, words, "", false},
		{"a named one that is complete, to stay", []pipeline.RunInfo{done, words}, ChooseConfig{Run: "done", Stay: true}, done, "", false},
		{"several", []pipeline.RunInfo{chats, done, words}, ChooseConfig{}, pipeline.RunInfo{}, "several runs are published: choose one with --run: chats, words", false},
		{"several, complete ones among them, to stay", []pipeline.RunInfo{done, words}, ChooseConfig{Stay: true}, pipeline.RunInfo{}, "several runs are published: choose one with --run: done, words", false},
		{"all are complete", []pipeline.RunInfo{done, past}, ChooseConfig{}, pipeline.RunInfo{}, "nothing to do: all runs are complete: done, past", true},
		{"the named one is complete", []pipeline.RunInfo{done, words}, ChooseConfig{Run: "done"}, pipeline.RunInfo{}, "nothing to do: run done is complete", true},
		{"the only one that is not simulated", []pipeline.RunInfo{mock, words, mimic}, ChooseConfig{}, words, "", false},
		{"the only one that is simulated", []pipeline.RunInfo{mock, words, mimic}, ChooseConfig{Simulated: true}, mock, "", false},
		{"only one, and it is simulated", []pipeline.RunInfo{mock}, ChooseConfig{}, pipeline.RunInfo{}, "run mock is for simulated servers, and these have real models: start a simulated one with `gleaner simulate` and name it with --ollama, or load the dataset again without --simulate", false},
		{"a named one that is simulated", []pipeline.RunInfo{mock, words}, ChooseConfig{Run: "mock"}, pipeline.RunInfo{}, "run mock is for simulated servers, and these have real models: start a simulated one with `gleaner simulate` and name it with --ollama, or load the dataset again without --simulate", false},
		{"a named one that is not simulated", []pipeline.RunInfo{mock, words}, ChooseConfig{Run: "words", Simulated: true}, pipeline.RunInfo{}, "run words wants a real model, and the servers are simulated: name servers that have model tiny with --ollama, or load a run for simulated servers with `producer load --simulate`", false},
		{"all are simulated", []pipeline.RunInfo{mock, mimic}, ChooseConfig{}, pipeline.RunInfo{}, "all runs that are published are for simulated servers, and these have real models: mock, mimic", false},
		{"none", nil, ChooseConfig{}, pipeline.RunInfo{}, "no run is published: publish one with `producer publish --run NAME`, or name the one to wait for with --run", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			lister := &published{began: time.Now(), runs: listed(c.runs...)}
			got, err := ChooseRun(t.Context(), lister, c.cfg)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			switch {
			case c.err == "" && err != nil, c.err != "" && (err == nil || err.Error() != c.err):
				t.Errorf("got %v, want %q", err, c.err)
			case errors.Is(err, ErrNothingToDo) != c.idle:
				t.Errorf("nothing to do: %t, want %t", !c.idle, c.idle)
			}
			if lister.asked != 1 {
				t.Errorf("asked %d times", lister.asked)
			}
		})
	}
}

// With Next a run that is over is followed by the first open one of its model, which is waited for.
func TestTheNextRunOfTheModelFollowsOneThatIsOver(t *testing.T) {
	other := pipeline.RunInfo{Run: "other", Model: "large"}
	paused := pipeline.RunInfo{Run: "paused", Model: "tiny", Paused: true}
	for name, c := range map[string]struct {
		runs map[time.Duration][]pipeline.RunInfo
		cfg  ChooseConfig
		want string
		took time.Duration
		err  string
	}{
		"the named one is open":           {listed(words, chats), ChooseConfig{Run: "words"}, "words", 0, ""},
		"it is complete":                  {listed(mock, other, done, paused, chats), ChooseConfig{Run: "done"}, "chats", 0, ""},
		"only a paused one is open":       {listed(done, paused), ChooseConfig{Run: "done"}, "paused", 0, ""},
		"it is gone, and its model known": {listed(other, chats), ChooseConfig{Run: "words", Model: "tiny"}, "chats", 0, ""},
		"there is none for now":           {map[time.Duration][]pipeline.RunInfo{0: {done, other}, time.Hour: {done, words}}, ChooseConfig{Run: "done"}, "words", time.Hour, ""},
		"there is none in time":           {listed(done, other), ChooseConfig{Run: "done", IdleExit: 10 * time.Minute}, "", 10 * time.Minute, "nothing to do: another run of this model was not published within 10m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lister := &published{began: time.Now(), runs: c.runs}
				c.cfg.Next = true
				got, err := ChooseRun(t.Context(), lister, c.cfg)
				if took := time.Since(lister.began); got.Run != c.want || took != c.took {
					t.Errorf("got %q after %s, want %q after %s", got.Run, took, c.want, c.took)
				}
				if (err == nil) != (c.err == "") || err != nil && err.Error() != c.err {
					t.Errorf("got %v, want %q", err, c.err)
				}
			})
		})
	}
}

func TestARunThatIsNotPublishedYetIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		lister := &published{began: time.Now(), runs: map[time.Duration][]pipeline.RunInfo{0: {chats, done}, time.Hour: {chats, words}}}
		got, err := ChooseRun(t.Context(), lister, ChooseConfig{Run: "words", Log: zap.New(core)})
		if err != nil || !reflect.DeepEqual(got, words) {
			t.Errorf("got %+v, %v", got, err)
		}
		if took := time.Since(lister.began); took != time.Hour || lister.asked != 61+6 {
			t.Errorf("it took %s and asked %d times", took, lister.asked)
		}
		if logs.Len() != 6 || logs.All()[0].Message != "waiting for the run to be published" {
			t.Errorf("the log says %v", logs.All())
		}
		want := map[string]any{"run": "words", "there_are": []any{"chats", "done"}}
		if diff := cmp.Diff(want, logs.All()[0].ContextMap()); diff != "" {
			t.Errorf("the line (-want +got):\n%s", diff)
		}
	})
}

func TestARunIsNotWaitedForWithoutEnd(t *testing.T) {
	for name, c := range map[string]struct {
		cfg  func(now time.Time) ChooseConfig
		took time.Duration
		want string
	}{
		"a deadline": {func(now time.Time) ChooseConfig { return ChooseConfig{Deadline: now.Add(time.Minute)} }, time.Minute,
			"nothing to do: the deadline is here and run words is not published"},
		"an idle exit": {func(time.Time) ChooseConfig { return ChooseConfig{IdleExit: 10 * time.Second} }, 10 * time.Second,
			"nothing to do: run words was not published within 10s"},
		"a deadline that is over": {func(now time.Time) ChooseConfig { return ChooseConfig{Deadline: now.Add(-1)} }, 0,
			"nothing to do: the deadline is here and run words is not published"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				cfg := c.cfg(began)
				cfg.Run = "words"
				_, err := ChooseRun(t.Context(), &published{began: began, runs: listed(chats)}, cfg)
				if !errors.Is(err, ErrNothingToDo) || err.Error() != c.want || time.Since(began) != c.took {
					t.Errorf("after %s it ended with %v, want %s and %q", time.Since(began), err, c.took, c.want)
				}
			})
		})
	}
}

func TestAStopEndsTheWaitForARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		_, err := ChooseRun(ctx, &published{began: began}, ChooseConfig{Run: "words"})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Minute {
			t.Errorf("after %s it ended with %v", time.Since(began), err)
		}
	})
}

func TestAnErrorOfTheListEndsTheWaitForARun(t *testing.T) {
	_, err := ChooseRun(t.Context(), &published{err: errors.New("no permission")}, ChooseConfig{Run: "words"})
	if err == nil || !strings.Contains(err.Error(), "no permission") {
		t.Errorf("got %v", err)
	}
}

func TestARunIsThereAtOnceWhenItIsSaidToBePublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lister := &published{began: time.Now(), hello: 90 * time.Second, runs: map[time.Duration][]pipeline.RunInfo{0: {chats}, 89 * time.Second: {words}}}
		got, err := ChooseRun(t.Context(), lister, ChooseConfig{Run: "words"})
		if err != nil || !reflect.DeepEqual(got, words) || time.Since(lister.began) != lister.hello {
			t.Errorf("got %+v, %v after %s", got, err, time.Since(lister.began))
		}
	})
}

func TestAServerThatIsAwayIsWaitedForAndSaidOnce(t *testing.T) {
	for name, cfg := range map[string]ChooseConfig{"a named run": {Run: "words"}, "the only run": {}} {
		for _, away := range []time.Duration{300 * time.Millisecond, 2 * time.Second, 8 * time.Second, time.Minute} {
			t.Run(name+" "+away.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					core, logs := observer.New(zap.InfoLevel)
					cfg.Log = zap.New(core)
					lister := &published{began: time.Now(), away: away, runs: listed(words)}
					got, err := ChooseRun(t.Context(), lister, cfg)
					const longest = 16 * time.Second // between two tries: ten, and half of that for chance
					if err != nil || !reflect.DeepEqual(got, words) || time.Since(lister.began) > away+longest {
						t.Errorf("got %+v, %v after %s", got, err, time.Since(lister.began))
					}
					if logs.Len() != 2 || logs.All()[1].Message != "the runs can be seen again" {
						t.Errorf("the log says %v", logs.All())
					}
				})
			})
		}
	}
}
