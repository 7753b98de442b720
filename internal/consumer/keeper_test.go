package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"gleaner/internal/pipeline"
)

// A rack launches fake servers for one GPU and remembers them.
type rack struct {
	prepare func(s *fakeServer)                                                        // called for each before it is handed out; may be nil
	answer  func(ctx context.Context, r pipeline.Request) (pipeline.Completion, error) // nil: after a second, a token each 100 ms
	broken  error                                                                      // what Launch returns

	mu      sync.Mutex
	servers []*fakeServer
	starts  []time.Time
}

type fakeServer struct {
	rack   *rack
	slots  int
	loaded pipeline.ModelInfo
	load   error
	has    bool
	took   time.Duration // to get the model
	exited chan struct{}
	hung   chan struct{} // closed: no token comes any more
	quiet  bool          // it does not answer pings

	mu      sync.Mutex
	chunks  int64
	busy    int
	most    int
	got     bool
	stopped bool
}

func (r *rack) launch(_ context.Context, slots int) (Server, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.starts = append(r.starts, time.Now())
	if r.broken != nil {
		return nil, r.broken
	}
	s := &fakeServer{
		rack: r, slots: slots, has: true, exited: make(chan struct{}), hung: make(chan struct{}),
		loaded: pipeline.ModelInfo{Digest: "d1", ServerVersion: "0.17.4", Context: 2048, SizeBytes: 100, OnGPUBytes: 100},
	}
	if r.prepare != nil {
		r.prepare(s)
	}
	r.servers = append(r.servers, s)
	return s, nil
}

// last returns the newest server, and how many there were.
func (r *rack) last() (*fakeServer, int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.servers[len(r.servers)-1], len(r.servers)
}

func (s *fakeServer) Generate(ctx context.Context, r pipeline.Request) (pipeline.Completion, error) {
	s.mu.Lock()
	s.busy++
	s.most = max(s.most, s.busy)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.busy--
	}()
	if s.rack.answer != nil && r.Prompt() != "Hello" {
		asked := r
		r.OnTokens = func(n int) {
			s.mu.Lock()
			s.chunks += int64(n)
			s.mu.Unlock()
			asked.CountTokens(n)
		}
		return s.rack.answer(ctx, r)
	}
	for range 10 {
		select {
		case <-time.After(100 * time.Millisecond):
		case <-s.exited:
			return pipeline.Completion{}, pipeline.Fail(pipeline.Retryable, "EOF")
		case <-ctx.Done():
			return pipeline.Completion{}, fmt.Errorf("cut: %w", context.Cause(ctx))
		}
		select {
		case <-s.hung:
			<-ctx.Done()
			return pipeline.Completion{}, fmt.Errorf("cut: %w", context.Cause(ctx))
		default:
		}
		s.mu.Lock()
		s.chunks++
		s.mu.Unlock()
	}
	return pipeline.Completion{Text: "42", Finish: "stop", OutputTokens: 10}, nil
}

func (s *fakeServer) Answer(ctx context.Context) error { return s.rest(ctx, time.Second) }

func (s *fakeServer) rest(ctx context.Context, d time.Duration) error {
	if !sleep(ctx, d) {
		return interrupted(ctx)
	}
	return nil
}

func (s *fakeServer) Provide(ctx context.Context, _ string, progress func(string, int64, int64)) (bool, error) {
	if s.has {
		return false, nil
	}
	for i := range int64(10) {
		if err := s.rest(ctx, s.took/10); err != nil {
			return false, err
		}
		progress("pulling layer", i+1, 10)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = true
	return true, nil
}

func (s *fakeServer) WarmUp(ctx context.Context, _ string) error {
	select {
	case <-s.hung:
		<-ctx.Done()
		return ctx.Err()
	default:
	}
	if s.load != nil {
		return s.load
	}
	return s.rest(ctx, 3*time.Second)
}

func (s *fakeServer) Loaded(context.Context, string) (pipeline.ModelInfo, error) {
	return s.loaded, nil
}

func (s *fakeServer) Ping(ctx context.Context) error {
	s.mu.Lock()
	quiet := s.quiet
	s.mu.Unlock()
	if quiet {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (s *fakeServer) Chunks() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.chunks
}

func (s *fakeServer) Exited() <-chan struct{} { return s.exited }
func (s *fakeServer) Ended() error            { return errors.New("the server ended by itself: killed") }
func (s *fakeServer) Log() []string           { return []string{"last words"} }

func (s *fakeServer) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	return nil
}

// fleet starts a consumer with a GPU of four slots for each rack.
func (w *world) fleet(racks ...*rack) (*runner, *observer.ObservedLogs) {
	core, logs := observer.New(zap.InfoLevel)
	cfg := config()
	cfg.Log, cfg.Identity.Model = zap.New(core), "tiny"
	var gpus []LaneConfig
	for i, r := range racks {
		gpus = append(gpus, LaneConfig{Name: fmt.Sprintf("GPU %d", i), Slots: 4, Launch: r.launch})
	}
	return w.start(cfg, gpus...), logs
}

// states returns the states that a GPU went through.
func states(logs *observer.ObservedLogs, gpu string) []string {
	var all []string
	for _, e := range logs.All() {
		if fields := e.ContextMap(); fields["gpu"] == gpu {
			switch {
			case e.Message == "state":
				all = append(all, fields["state"].(string))
			case e.Message == "serving", e.Message == "the server is started anew":
				all = append(all, e.Message)
			}
		}
	}
	return all
}

func (w *world) fill(batches int) {
	for i := range batches {
		w.add(i, 1, "a", "b", "c")
	}
}

func (r *runner) stateOf(gpu int) string { return r.Snapshot().GPUs[gpu].Describe() }

// checkLeft fails unless every server was stopped.
func (r *rack) checkLeft(t *testing.T) {
	t.Helper()
	for i, s := range r.servers {
		if !s.stopped {
			t.Errorf("server %d was not stopped", i)
		}
	}
}

func TestWorkIsTakenOnlyWhileTheServerServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, rack := newWorld(t), &rack{}
		w.fill(100)
		r, logs := w.fleet(rack)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if asked, _ := w.calls(); asked != 0 || r.stateOf(0) != "loading" {
			t.Errorf("asked for work %d times while it is %q", asked, r.stateOf(0))
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if said := r.Snapshot(); len(w.only("ack")) == 0 || said.GPUs[0].State != pipeline.GPUServing || said.Digest != "d1" || said.ServerVersion != "0.17.4" {
			t.Errorf("%d batches done, it says %+v", len(w.only("ack")), said)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
		want := []string{"starting", "loading", "verifying", "serving", "draining"}
		if diff := cmp.Diff(want, states(logs, "GPU 0")); diff != "" {
			t.Errorf("states (-want +got):\n%s", diff)
		}
		rack.checkLeft(t)
	})
}

func TestTheFirstServerGetsTheModelForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var asked atomic.Bool
		lacks := func(s *fakeServer) { // whichever comes first
			if asked.CompareAndSwap(false, true) {
				s.has, s.took = false, time.Minute
			}
		}
		first, second := &rack{prepare: lacks}, &rack{prepare: lacks}
		r, logs := w.fleet(first, second)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if len(first.servers)+len(second.servers) != 1 {
			t.Errorf("%d and %d servers while the model is on its way", len(first.servers), len(second.servers))
		}
		if all := r.stateOf(0) + r.stateOf(1); !strings.Contains(all, "waiting for the model") || !strings.Contains(all, "pulling: 40 %") {
			t.Errorf("the states are %q", all)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if r.stateOf(0) != "serving" || r.stateOf(1) != "serving" {
			t.Errorf("the states are %q and %q", r.stateOf(0), r.stateOf(1))
		}
		if n := logs.FilterMessage("getting the model").Len(); n < 5 || n > 12 {
			t.Errorf("%d lines about a pull of a minute", n)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestAServerThatDiesIsStartedAnewAndItsWorkGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, rack := newWorld(t), &rack{}
		w.fill(10)
		r, _ := w.fleet(rack)
		time.Sleep(6 * time.Second)
		server, _ := rack.last()
		close(server.exited)
		time.Sleep(time.Minute)
		if _, n := rack.last(); n != 2 || r.stateOf(0) != "serving" {
			t.Errorf("%d servers, the state is %q", n, r.stateOf(0))
		}
		if acks, back := len(w.only("ack")), len(w.only("hand-back")); acks != 10 || back != 0 {
			t.Errorf("%d of 10 batches are done, %d were handed back", acks, back)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
		rack.checkLeft(t)
	})
}

func TestAServerThatStallsLosesItsRequestsAndIsStartedAnewIfItSaysNoWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, rack := newWorld(t), &rack{}
		w.fill(10)
		r, logs := w.fleet(rack)
		time.Sleep(6 * time.Second)
		server, _ := rack.last()
		close(server.hung)
		time.Sleep(50 * time.Second)
		synctest.Wait()
		if server.busy != 0 || r.stateOf(0) == "serving" {
			t.Errorf("%d requests still wait for a server that hangs, the state is %q", server.busy, r.stateOf(0))
		}
		time.Sleep(2 * time.Minute)
		if _, n := rack.last(); n != 2 || !server.stopped || r.stateOf(0) != "serving" {
			t.Errorf("%d servers, the state is %q", n, r.stateOf(0))
		}
		if acks := len(w.only("ack")); acks != 10 {
			t.Errorf("%d of 10 batches are done", acks)
		}
		if logs.FilterMessage("the server's log").Len() == 0 {
			t.Error("its log is not shown")
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

// One prompt that takes long says nothing about the server, as long as others get on.
func TestOneSilentRequestIsNoStallOfTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, rack := newWorld(t), &rack{answer: func(ctx context.Context, r pipeline.Request) (pipeline.Completion, error) {
			<-ctx.Done()
			return pipeline.Completion{}, ctx.Err()
		}}
		r, _ := w.fleet(rack)
		time.Sleep(6 * time.Second)
		server, _ := rack.last()
		keeper := r.lanes[0].keeper
		done := make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, err := keeper.Generate(ctx, pipeline.Request{Messages: pipeline.User("long")}); done <- err }()
		for range 10 { // others
			time.Sleep(20 * time.Second)
			server.mu.Lock()
			server.chunks++
			server.mu.Unlock()
		}
		if r.stateOf(0) != "serving" {
			t.Errorf("the state is %q", r.stateOf(0))
		}
		cancel()
		<-done
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestAServerThatDoesNotAnswerIsStartedAnewAlsoWithoutWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, rack := newWorld(t), &rack{}
		r, _ := w.fleet(rack)
		time.Sleep(10 * time.Second)
		server, _ := rack.last()
		server.mu.Lock()
		server.quiet = true
		server.mu.Unlock()
		time.Sleep(time.Minute)
		if _, n := rack.last(); n != 2 || r.stateOf(0) != "serving" {
			t.Errorf("%d servers, the state is %q", n, r.stateOf(0))
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestAModelThatDoesNotFitGetsFewerSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		rack := &rack{prepare: func(s *fakeServer) {
			if s.slots > 4 {
				s.loaded.OnGPUBytes = 60
			}
		}}
		w.fill(20)
		cfg := config()
		r := w.start(cfg, LaneConfig{Name: "GPU 0", Slots: 16, Launch: rack.launch})
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		var slots []int
		for _, s := range rack.servers {
			slots = append(slots, s.slots)
		}
		if diff := cmp.Diff([]int{16, 16, 8, 8, 4}, slots); diff != "" {
			t.Errorf("slots of the servers (-want +got):\n%s", diff)
		}
		if s, _ := rack.last(); s.most != 4 || len(w.only("ack")) != 20 {
			t.Errorf("%d requests at a time, %d batches done", s.most, len(w.only("ack")))
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestAGPUThatNeverServesIsGivenUpWithoutTouchingTheOther(t *testing.T) {
	for name, rack := range map[string]*rack{
		"its server does not start": {broken: errors.New("exec format error")},
		"it is on the CPU":          {prepare: func(s *fakeServer) { s.loaded.OnGPUBytes = 0 }},
		"it cannot load":            {prepare: func(s *fakeServer) { s.load = pipeline.Fail(pipeline.Retryable, "exit status 2") }},
		"the model does not exist":  {prepare: func(s *fakeServer) { s.load = pipeline.Fail(pipeline.Fatal, "no such model") }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, good := newWorld(t), healthy()
				w.fill(50)
				r, _ := w.fleet(rack, good)
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				if !strings.Contains(r.stateOf(0), "given up") || r.stateOf(1) != "serving" {
					t.Errorf("the states are %q and %q", r.stateOf(0), r.stateOf(1))
				}
				if _, n := good.last(); n != 1 || len(w.only("ack")) != 50 || len(rack.starts) > badInARow {
					t.Errorf("%d servers on the other GPU, %d batches done, %d starts", n, len(w.only("ack")), len(rack.starts))
				}
				if err := r.end(); err != nil {
					t.Error(err)
				}
				rack.checkLeft(t)
			})
		})
	}
}

func healthy() *rack { return &rack{} }

func TestWithoutAnyGPUTheConsumerEndsWithAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.fill(3)
		r, _ := w.fleet(&rack{broken: errors.New("no such file")}, &rack{broken: errors.New("no such file")})
		if err := <-r.done; !errors.Is(err, ErrNoGPU) || !strings.Contains(err.Error(), "no such file") {
			t.Errorf("it ended with %v", err)
		}
		if asked, _ := w.calls(); asked != 0 {
			t.Errorf("it asked for work %d times", asked)
		}
		r.stop()
	})
}

// What a GPU holds that is given up goes to others at once.
func TestWhatAGPUHoldsThatTakesLongToRestartGoesToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, rack := newWorld(t), &rack{}
		w.fill(6)
		r, _ := w.fleet(rack)
		time.Sleep(6 * time.Second)
		rack.mu.Lock()
		rack.broken = errors.New("the GPU has fallen off the bus")
		rack.mu.Unlock()
		server, _ := rack.last()
		close(server.exited)
		time.Sleep(time.Minute)
		synctest.Wait()
		now, _ := w.holds()
		if backs := w.only("hand-back"); now != 0 || len(backs) != 6 {
			t.Errorf("it holds %d batches after a minute without a server, %d handed back", now, len(backs))
		}
		if err := <-r.done; !errors.Is(err, ErrNoGPU) {
			t.Errorf("it ended with %v", err)
		}
		r.stop()
	})
}

func TestAStopWhileAServerIsPreparedEndsItAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, rack := newWorld(t), &rack{prepare: func(s *fakeServer) { s.has, s.took = false, time.Hour }}
		r, logs := w.fleet(rack)
		time.Sleep(time.Minute)
		begin := time.Now()
		if err := r.end(); err != nil || time.Since(begin) != 0 {
			t.Errorf("it took %s: %v", time.Since(begin), err)
		}
		rack.checkLeft(t)
		if logs.FilterLevelExact(zap.WarnLevel).Len() != 0 {
			t.Errorf("it complains: %v", logs.All())
		}
	})
}

func TestAServerThatFallsToTheSpeedOfACPUIsFound(t *testing.T) {
	var p tempo
	now, chunks := time.Now(), int64(0)
	p.begin(now, chunks)
	// run returns how many windows of such a speed it takes until it is called slow, of at most
	// ten.
	run := func(perSecond, inFlight int) int {
		for i := range 10 {
			for range 30 {
				now, chunks = now.Add(time.Second), chunks+int64(perSecond)
				if p.slow(now, chunks, inFlight) {
					return i + 1
				}
			}
		}
		return 0
	}
	for i, step := range []struct{ perSecond, inFlight, want int }{
		{200, 8, 0},
		{40, 1, 0}, // with one request it is slower, of course
		{60, 8, 0}, // not yet a quarter
		{20, 8, 4},
		{0, 0, 0}, // nothing to do
		{150, 8, 0},
		{9, 1, 4},
	} {
		if got := run(step.perSecond, step.inFlight); got != step.want {
			t.Errorf("step %d: slow after %d windows, want %d", i, got, step.want)
		}
		p.begin(now, chunks)
	}
}

func TestARunnerThatCrashesAgainAndAgainMakesTheServerSick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &life{failed: make(chan error, 1)}
		crash := pipeline.Fail(pipeline.Retryable, "%w", pipeline.ErrRunnerCrashed)
		crashes := func(n int, apart time.Duration) {
			told := 0
			for range n {
				for range 8 { // all that were in flight
					l.takeOff()
					if l.land(crash) {
						told++
					}
				}
				time.Sleep(apart)
			}
			if told != n {
				t.Errorf("%d crashes were told of as %d", n, told)
			}
		}
		crashes(20, 2*time.Minute)
		if len(l.failed) != 0 {
			t.Fatalf("seldom crashes: %v", <-l.failed)
		}
		time.Sleep(crashWindow)
		crashes(crashesAtMost, 10*time.Second)
		if len(l.failed) != 1 || !errors.Is(<-l.failed, errSick) {
			t.Error("many crashes are not found")
		}
	})
}

func TestTheRestBeforeARestartGrowsAndIsForgottenAfterGoodService(t *testing.T) {
	care, err := Care{}.complete()
	if err != nil {
		t.Fatal(err)
	}
	died := errors.New("died")
	r := record{rests: care.Rests}
	var rests []time.Duration
	for _, answers := range []int{0, 0, 0, 100, 0, 0, 0} {
		rests = append(rests, r.judge(died, service{answers: answers}, 8).rest)
	}
	want := []time.Duration{time.Second, 5 * time.Second, 15 * time.Second, time.Second, 5 * time.Second, 15 * time.Second, time.Minute}
	if diff := cmp.Diff(want, rests); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if v := r.judge(died, service{}, 8); !v.giveUp {
		t.Error("after five failures in a row it goes on")
	}
	slots := 8
	r = record{rests: care.Rests}
	var got []int
	for range 6 {
		v := r.judge(pipeline.Fail(pipeline.Retryable, "%w", pipeline.ErrMemory), service{answers: 500}, slots)
		slots = v.slots
		got = append(got, slots)
	}
	if !slices.Equal(got, []int{8, 4, 4, 4, 4, 4}) || r.bad < badInARow {
		t.Errorf("slots %v, %d failures", got, r.bad)
	}
}
