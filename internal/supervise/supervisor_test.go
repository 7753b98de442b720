package supervise_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
	"gleaner/internal/supervise"
	"gleaner/internal/supervise/supervisetest"
)

var errSilent = fmt.Errorf("%w: no token for 45 s", pipeline.ErrStalled)

// A lane is an admission with four slots.
type lane struct {
	supervisor *supervise.Supervisor
	stop       context.CancelFunc
	done       chan error // of the supervisor's Run
	t          testing.TB

	mu     sync.Mutex
	status pipeline.GPUStatus
	most   int
}

func (l *lane) Open(contextTokens int) { l.Close(pipeline.GPUServing, "") }

func (l *lane) Close(state pipeline.GPUState, detail string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.status.State, l.status.Detail = state, detail
}

func (l *lane) MaxSlots() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.most
}

func (l *lane) LimitSlots(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.most = n
}

// state returns the state with its detail.
func (l *lane) state() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status.Describe()
}

func (l *lane) isServing() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status.State == pipeline.GPUServing
}

// end stops the supervisor and returns what Run returned.
func (l *lane) end() error {
	l.stop()
	return l.ended()
}

// ended returns what Run returned, or fails the test if it does not return.
func (l *lane) ended() error {
	l.t.Helper()
	select {
	case err := <-l.done:
		return err
	case <-time.After(24 * time.Hour): // of a bubble, where time is free
		l.t.Fatalf("the supervisor does not end; the state is %q", l.state())
		return nil
	}
}

// work has four clients generate, as often as a lane that is open lets them, until the returned
// function is called with how many answers there have to be.
func (l *lane) work(t *testing.T) (check func(answers int64)) {
	ctx, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	var answers atomic.Int64
	for range 4 {
		clients.Go(func() {
			for outage.Sleep(ctx, 10*time.Millisecond) == nil {
				if !l.isServing() {
					continue
				}
				if _, err := l.supervisor.Generate(ctx, pipeline.Request{Messages: pipeline.User("a")}); err == nil {
					answers.Add(1)
				} else if class := pipeline.ClassOf(err); ctx.Err() == nil && class != pipeline.Retryable {
					t.Errorf("a request failed as %s: %v", class, err)
				}
			}
		})
	}
	return func(wanted int64) {
		t.Helper()
		cancel()
		clients.Wait()
		if n := answers.Load(); n < wanted {
			t.Errorf("%d answers, want at least %d", n, wanted)
		}
	}
}

// start supervises a GPU for each launcher.
func start(t *testing.T, slots int, launchers ...*supervisetest.Launcher) ([]*lane, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	fetch := supervise.NewModelFetch()
	var lanes []*lane
	for i, launcher := range launchers {
		l := &lane{most: slots, done: make(chan error, 1), t: t}
		name := fmt.Sprintf("GPU %d", i)
		supervisor, err := supervise.New(supervise.Config{
			Name: name, Model: "tiny", Launch: launcher.Launch, Fetch: fetch, Log: zap.New(core).With(zap.String("gpu", name)),
		}, l)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		l.supervisor, l.stop = supervisor, stop
		go func() { l.done <- supervisor.Run(ctx) }()
		lanes = append(lanes, l)
	}
	return lanes, logs
}

func TestTheFirstServerGetsTheModelForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Bool
		lacks := func(s *supervisetest.FakeServer) { // the one that comes first
			if asked.CompareAndSwap(false, true) {
				s.HasModel, s.FetchTime = false, time.Minute
			}
		}
		first, second := &supervisetest.Launcher{Prepare: lacks}, &supervisetest.Launcher{Prepare: lacks}
		lanes, logs := start(t, 4, first, second)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if len(first.Servers())+len(second.Servers()) != 1 {
			t.Errorf("%d and %d servers while the model is on its way", len(first.Servers()), len(second.Servers()))
		}
		if all := lanes[0].state() + lanes[1].state(); !strings.Contains(all, "waiting for the model") || !strings.Contains(all, "pulling: 40 %") {
			t.Errorf("the states are %q", all)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if !lanes[0].isServing() || !lanes[1].isServing() {
			t.Errorf("the states are %q and %q", lanes[0].state(), lanes[1].state())
		}
		if n := logs.FilterMessage("getting the model").Len(); n < 5 || n > 12 {
			t.Errorf("%d lines about a pull of a minute", n)
		}
		for _, l := range lanes {
			if err := l.end(); err != nil {
				t.Error(err)
			}
		}
		first.CheckStopped(t)
		second.CheckStopped(t)
	})
}

func TestAServerThatDiesIsRestarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		launcher := &supervisetest.Launcher{}
		lanes, _ := start(t, 4, launcher)
		check := lanes[0].work(t)
		time.Sleep(6 * time.Second)
		server, _ := launcher.Last()
		server.Exit()
		time.Sleep(time.Minute)
		if _, n := launcher.Last(); n != 2 || !lanes[0].isServing() {
			t.Errorf("%d servers, the state is %q", n, lanes[0].state())
		}
		check(100)
		if err := lanes[0].end(); err != nil {
			t.Error(err)
		}
		launcher.CheckStopped(t)
	})
}

func TestASupervisorSaysWhatItsServerHasLoadedWhileThereIsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		launcher := &supervisetest.Launcher{}
		lanes, _ := start(t, 4, launcher)
		l := lanes[0]
		if _, err := l.supervisor.Loaded(t.Context(), "tiny"); pipeline.ClassOf(err) != pipeline.Retryable || !strings.Contains(err.Error(), "restarted") {
			t.Errorf("without a server: %v", err)
		}
		time.Sleep(time.Minute)
		if loaded, err := l.supervisor.Loaded(t.Context(), "tiny"); err != nil || loaded.Digest == "" {
			t.Errorf("with a server: %+v, %v", loaded, err)
		}
		if err := l.end(); err != nil {
			t.Error(err)
		}
		launcher.CheckStopped(t)
	})
}

func TestAServerThatStallsLosesItsRequestsAndIsRestartedIfItDoesNotRecover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		launcher := &supervisetest.Launcher{}
		lanes, logs := start(t, 4, launcher)
		check := lanes[0].work(t)
		time.Sleep(6 * time.Second)
		server, _ := launcher.Last()
		server.Hang()
		time.Sleep(45 * time.Second)
		lanes[0].supervisor.Stalled(errSilent)
		synctest.Wait()
		if busy, _ := server.Busy(); busy != 0 || lanes[0].isServing() {
			t.Errorf("%d requests still wait for a server that hangs, the state is %q", busy, lanes[0].state())
		}
		time.Sleep(2 * time.Minute)
		if _, n := launcher.Last(); n != 2 || !server.Stopped() || !lanes[0].isServing() {
			t.Errorf("%d servers, the state is %q", n, lanes[0].state())
		}
		check(100)
		if logs.FilterMessage("the server's log").Len() == 0 {
			t.Error("its log is not shown")
		}
		if err := lanes[0].end(); err != nil {
			t.Error(err)
		}
	})
}

// What hangs with one request may be well without it.
func TestAServerThatStallsAndRecoversIsNotRestarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		launcher := &supervisetest.Launcher{Answer: func(ctx context.Context, r pipeline.Request) (pipeline.Completion, error) {
			<-ctx.Done()
			return pipeline.Completion{}, pipeline.Fail(pipeline.Retryable, "cut: %w", context.Cause(ctx))
		}}
		lanes, logs := start(t, 4, launcher)
		time.Sleep(6 * time.Second)
		time.AfterFunc(45*time.Second, func() { lanes[0].supervisor.Stalled(errSilent) })
		_, err := lanes[0].supervisor.Generate(t.Context(), pipeline.Request{Messages: pipeline.User("long")})
		if class := pipeline.ClassOf(err); class != pipeline.Retryable || errors.Is(err, pipeline.ErrStalled) {
			t.Errorf("its request failed as %s: %v", class, err)
		}
		time.Sleep(10 * time.Second)
		if _, n := launcher.Last(); n != 1 || !lanes[0].isServing() || logs.FilterMessage("the server answers again").Len() != 1 {
			t.Errorf("%d servers, the state is %q", n, lanes[0].state())
		}
		if err := lanes[0].end(); err != nil {
			t.Error(err)
		}
	})
}

// A model may load again for its first word, and a load has its own limit.
func TestAModelThatTakesLongForItsFirstWordBecomesReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		launcher := &supervisetest.Launcher{Prepare: func(s *supervisetest.FakeServer) { s.FirstWord = 64 * time.Second }}
		lanes, _ := start(t, 4, launcher)
		time.Sleep(70 * time.Second)
		synctest.Wait()
		if _, n := launcher.Last(); n != 1 || !lanes[0].isServing() {
			t.Errorf("%d servers, the state is %q", n, lanes[0].state())
		}
		if err := lanes[0].end(); err != nil {
			t.Error(err)
		}
	})
}

// A model that was unloaded loads again with the next request.
func TestALoadInTheMiddleIsNoLackOfSpeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		loading := make(chan struct{})
		launcher := &supervisetest.Launcher{}
		launcher.Answer = func(ctx context.Context, r pipeline.Request) (pipeline.Completion, error) {
			select {
			case <-loading:
				if outage.Sleep(ctx, 5*time.Minute) != nil {
					return pipeline.Completion{}, ctx.Err()
				}
			default:
			}
			for range 100 {
				r.CountTokens(1)
				if outage.Sleep(ctx, 10*time.Millisecond) != nil {
					return pipeline.Completion{}, ctx.Err()
				}
			}
			return pipeline.Completion{Text: "42"}, nil
		}
		lanes, _ := start(t, 4, launcher)
		check := lanes[0].work(t)
		time.Sleep(5 * time.Minute)
		close(loading)
		time.Sleep(6 * time.Minute)
		if _, n := launcher.Last(); n != 1 || !lanes[0].isServing() {
			t.Errorf("%d servers, the state is %q", n, lanes[0].state())
		}
		check(100)
		if err := lanes[0].end(); err != nil {
			t.Error(err)
		}
	})
}

func TestAServerThatDoesNotAnswerIsRestartedAlsoWithoutWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		launcher := &supervisetest.Launcher{}
		lanes, _ := start(t, 4, launcher)
		time.Sleep(10 * time.Second)
		server, _ := launcher.Last()
		server.Mute()
		time.Sleep(time.Minute)
		if _, n := launcher.Last(); n != 2 || !lanes[0].isServing() {
			t.Errorf("%d servers, the state is %q", n, lanes[0].state())
		}
		if err := lanes[0].end(); err != nil {
			t.Error(err)
		}
	})
}

func TestAModelThatDoesNotFitGetsFewerSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		launcher := &supervisetest.Launcher{Prepare: func(s *supervisetest.FakeServer) {
			if s.Slots > 4 {
				s.Info.OnGPUBytes = 60
			}
		}}
		lanes, _ := start(t, 16, launcher)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		var slots []int
		for _, s := range launcher.Servers() {
			slots = append(slots, s.Slots)
		}
		if diff := cmp.Diff([]int{16, 16, 8, 8, 4}, slots); diff != "" || !lanes[0].isServing() {
			t.Errorf("it is %q, slots of the servers (-want +got):\n%s", lanes[0].state(), diff)
		}
		if err := lanes[0].end(); err != nil {
			t.Error(err)
		}
	})
}

func TestAGPUThatNeverServesIsGivenUp(t *testing.T) {
	for name, c := range map[string]struct {
		launcher *supervisetest.Launcher
		starts   int
		says     string
	}{
		"its server does not start": {&supervisetest.Launcher{Broken: errors.New("exec format error")}, 5, "exec format error"},
		"it is on the CPU":          {&supervisetest.Launcher{Prepare: func(s *supervisetest.FakeServer) { s.Info.OnGPUBytes = 0 }}, 5, "runs on the CPU"},
		"it cannot load": {&supervisetest.Launcher{Prepare: func(s *supervisetest.FakeServer) {
			s.LoadError = pipeline.Fail(pipeline.Retryable, "exit status 2")
		}}, 5, "exit status 2"},
		"the model does not exist": {&supervisetest.Launcher{Prepare: func(s *supervisetest.FakeServer) {
			s.LoadError = pipeline.Fail(pipeline.Fatal, "no such model")
		}}, 1, "no such model"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lanes, _ := start(t, 4, c.launcher)
				err := lanes[0].ended()
				if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(lanes[0].state(), "given up") {
					t.Errorf("it is %q, and ended with %v", lanes[0].state(), err)
				}
				if n := c.launcher.Starts(); n != c.starts {
					t.Errorf("%d starts, want %d", n, c.starts)
				}
				if _, err := lanes[0].supervisor.Generate(t.Context(), pipeline.Request{}); pipeline.ClassOf(err) != pipeline.Retryable {
					t.Errorf("a request to it fails with %v", err)
				}
				lanes[0].stop()
				c.launcher.CheckStopped(t)
			})
		})
	}
}

func TestAStopWhileAServerIsPreparedEndsItAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		launcher := &supervisetest.Launcher{Prepare: func(s *supervisetest.FakeServer) { s.HasModel, s.FetchTime = false, time.Hour }}
		lanes, logs := start(t, 4, launcher)
		time.Sleep(time.Minute)
		begin := time.Now()
		if err := lanes[0].end(); err != nil || time.Since(begin) != 0 {
			t.Errorf("it took %s: %v", time.Since(begin), err)
		}
		launcher.CheckStopped(t)
		if logs.FilterLevelExact(zap.WarnLevel).Len() != 0 {
			t.Errorf("it complains: %v", logs.All())
		}
	})
}
