package consumer

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

// A fakeBackend is a model server that takes its time to answer and to load.
type fakeBackend struct {
	fakeModel
	answersAt time.Time // pings fail before
	model     pipeline.ModelInfo
	missing   error // what Describe returns
	load      error // what WarmUp returns after a second
	loaded    bool
	calls     []string
	callsLock sync.Mutex
}

func (b *fakeBackend) note(call string) {
	b.callsLock.Lock()
	defer b.callsLock.Unlock()
	b.calls = append(b.calls, call)
}

func (b *fakeBackend) Identify(context.Context) (pipeline.ModelInfo, error) {
	return b.model, b.missing
}

func (b *fakeBackend) Loaded(context.Context, string) (pipeline.ModelInfo, error) {
	return b.model, nil
}

func (b *fakeBackend) Ping(ctx context.Context) error {
	if time.Now().Before(b.answersAt) {
		return pipeline.Fail(pipeline.Retryable, "connection refused")
	}
	return ctx.Err()
}

func (b *fakeBackend) Describe(_ context.Context, model string) (pipeline.ModelInfo, error) {
	b.note("describe " + model)
	info := b.model
	if !b.loaded {
		info.Context = 0
	}
	return info, b.missing
}

func (b *fakeBackend) WarmUp(ctx context.Context, model string) error {
	b.note("warm up " + model)
	if err := outage.Sleep(ctx, time.Second); err != nil {
		return err
	}
	b.loaded = b.load == nil
	return b.load
}

func TestAServerThatStartsWithTheConsumerIsWaitedFor(t *testing.T) {
	for name, c := range map[string]struct {
		after, took time.Duration
		waits       int
		ok          bool
	}{
		"it answers at once":                {0, 0, 0, true},
		"it answers after five seconds":     {5 * time.Second, 5 * time.Second, 1, true},
		"it does not answer in ten seconds": {time.Hour, 10*time.Second + answerPause, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				core, logs := observer.New(zap.InfoLevel)
				began := time.Now()
				server := RunningServer{"http://a", &fakeBackend{answersAt: began.Add(c.after)}}
				err := AwaitServer(t.Context(), server, zap.New(core))
				if (err == nil) != c.ok || time.Since(began) != c.took {
					t.Errorf("after %s: %v, want %s", time.Since(began), err, c.took)
				}
				if err != nil && pipeline.ClassOf(err) != pipeline.Retryable {
					t.Errorf("the reason is %v", err)
				}
				if n := logs.FilterMessage("waiting for Ollama to answer").Len(); n != c.waits {
					t.Errorf("%d lines about it, want %d", n, c.waits)
				}
			})
		})
	}
}

// A refusingBackend is a server that wants credentials.
type refusingBackend struct{ fakeBackend }

func (*refusingBackend) Ping(context.Context) error {
	return pipeline.Fail(pipeline.Fatal, "credentials are missing")
}

func TestAServerThatRefusesIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		err := AwaitServer(t.Context(), RunningServer{"http://a", &refusingBackend{}}, zap.NewNop())
		if pipeline.ClassOf(err) != pipeline.Fatal || time.Since(began) != 0 {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

func TestAStopEndsTheWaitForAServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		server := RunningServer{"http://a", &fakeBackend{answersAt: time.Now().Add(time.Hour)}}
		if err := AwaitServer(ctx, server, zap.NewNop()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestTheModelIsLoadedOnAllServersAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		a := &fakeBackend{model: pipeline.ModelInfo{Digest: "d1", ServerVersion: "0.17.4", Context: 4096}}
		b := &fakeBackend{model: pipeline.ModelInfo{Digest: "d1", ServerVersion: "0.17.5", Context: 2048}}
		got, err := LoadModel(t.Context(), []RunningServer{{"http://a", a}, {"http://b", b}}, "tiny")
		if err != nil || time.Since(began) != time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		if diff := cmp.Diff([]pipeline.ModelInfo{a.model, b.model}, got); diff != "" {
			t.Errorf("with the context that is known once it is loaded (-want +got):\n%s", diff)
		}
		if want := []string{"describe tiny", "warm up tiny", "describe tiny"}; !slices.Equal(a.calls, want) || !slices.Equal(b.calls, want) {
			t.Errorf("asked %q and %q", a.calls, b.calls)
		}
	})
}

func TestServersAreSimulatedTogetherOrNotAtAll(t *testing.T) {
	server := func(url string, simulated bool) RunningServer {
		return RunningServer{url, &fakeBackend{model: pipeline.ModelInfo{Simulated: simulated}}}
	}
	for _, simulated := range []bool{true, false} {
		got, err := AreSimulated(t.Context(), []RunningServer{server("http://a", simulated), server("http://b", simulated)})
		if err != nil || got != simulated {
			t.Errorf("got %v, %v, want %v", got, err, simulated)
		}
		_, err = AreSimulated(t.Context(), []RunningServer{server("http://a", simulated), server("http://b", !simulated)})
		if err == nil || !strings.Contains(err.Error(), "http://a and http://b") {
			t.Errorf("one of two: %v", err)
		}
	}
}

func TestAllServersHaveToHaveTheModel(t *testing.T) {
	good := func() *fakeBackend { return &fakeBackend{model: pipeline.ModelInfo{Digest: "d1"}} }
	for name, c := range map[string]struct {
		other *fakeBackend
		want  string
		calls int // of the other one
	}{
		"no such model":  {&fakeBackend{missing: pipeline.Fail(pipeline.Fatal, "it has no models at all")}, "it has no models at all", 1},
		"it cannot load": {&fakeBackend{load: pipeline.Fail(pipeline.Retryable, "out of memory")}, "out of memory", 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				models, err := LoadModel(t.Context(), []RunningServer{{"http://a", good()}, {"http://b", c.other}}, "tiny")
				if err == nil || err.Error() != c.want || models != nil {
					t.Errorf("got %v, %v, want %q", models, err, c.want)
				}
				if len(c.other.calls) != c.calls {
					t.Errorf("asked %q", c.other.calls)
				}
			})
		})
	}
}
