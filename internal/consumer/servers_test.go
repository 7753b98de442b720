package consumer

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"gleaner/internal/pipeline"
	"gleaner/internal/supervise/supervisetest"
)

// fleet starts a consumer with a GPU of four slots for each launcher.
func (w *world) fleet(launchers ...*supervisetest.Launcher) (*runner, *observer.ObservedLogs) {
	core, logs := observer.New(zap.InfoLevel)
	cfg := config()
	cfg.Log, cfg.Identity.Model = zap.New(core), "tiny"
	var gpus []LaneConfig
	for i, l := range launchers {
		gpus = append(gpus, LaneConfig{Name: fmt.Sprintf("GPU %d", i), Slots: 4, Launch: l.Launch})
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
			case e.Message == "serving", e.Message == "the server is restarted":
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

func TestWorkIsTakenOnlyWhileTheServerServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, launcher := newWorld(t), &supervisetest.Launcher{}
		w.fill(100)
		r, logs := w.fleet(launcher)
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
		launcher.CheckStopped(t)
	})
}

func TestAServerThatDiesIsRestartedAndItsWorkGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, launcher := newWorld(t), &supervisetest.Launcher{}
		w.fill(10)
		r, _ := w.fleet(launcher)
		time.Sleep(6 * time.Second)
		server, _ := launcher.Last()
		server.Exit()
		time.Sleep(time.Minute)
		if _, n := launcher.Last(); n != 2 || r.stateOf(0) != "serving" {
			t.Errorf("%d servers, the state is %q", n, r.stateOf(0))
		}
		if acks, back := len(w.only("ack")), len(w.only("hand-back")); acks != 10 || back != 0 {
			t.Errorf("%d of 10 batches are done, %d were handed back", acks, back)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
		launcher.CheckStopped(t)
	})
}

func TestAServerThatStallsLosesItsRequestsAndIsRestartedIfItSaysNoWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, launcher := newWorld(t), &supervisetest.Launcher{}
		w.fill(10)
		r, logs := w.fleet(launcher)
		time.Sleep(6500 * time.Millisecond) // in the middle of an answer
		server, _ := launcher.Last()
		server.Hang()
		time.Sleep(48 * time.Second)
		synctest.Wait()
		if busy, _ := server.Busy(); busy != 0 || r.stateOf(0) == "serving" {
			t.Errorf("%d requests still wait for a server that hangs, the state is %q", busy, r.stateOf(0))
		}
		time.Sleep(2 * time.Minute)
		if _, n := launcher.Last(); n != 2 || !server.Stopped() || r.stateOf(0) != "serving" {
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

func TestAModelThatDoesNotFitGetsFewerSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		launcher := &supervisetest.Launcher{Prepare: func(s *supervisetest.FakeServer) {
			if s.Slots > 4 {
				s.Info.OnGPUBytes = 60
			}
		}}
		w.fill(20)
		cfg := config()
		r := w.start(cfg, LaneConfig{Name: "GPU 0", Slots: 16, Launch: launcher.Launch})
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		var slots []int
		for _, s := range launcher.Servers() {
			slots = append(slots, s.Slots)
		}
		if diff := cmp.Diff([]int{16, 16, 8, 8, 4}, slots); diff != "" {
			t.Errorf("slots of the servers (-want +got):\n%s", diff)
		}
		s, _ := launcher.Last()
		if _, most := s.Busy(); most != 4 || len(w.only("ack")) != 20 {
			t.Errorf("%d requests at a time, %d batches done", most, len(w.only("ack")))
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestAGPUThatNeverServesIsGivenUpWithoutTouchingTheOther(t *testing.T) {
	for name, launcher := range map[string]*supervisetest.Launcher{
		"its server does not start": {Broken: errors.New("exec format error")},
		"it is on the CPU":          {Prepare: func(s *supervisetest.FakeServer) { s.Info.OnGPUBytes = 0 }},
		"it cannot load":            {Prepare: func(s *supervisetest.FakeServer) { s.LoadError = pipeline.Fail(pipeline.Retryable, "exit status 2") }},
		"the model does not exist":  {Prepare: func(s *supervisetest.FakeServer) { s.LoadError = pipeline.Fail(pipeline.Fatal, "no such model") }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, good := newWorld(t), &supervisetest.Launcher{}
				w.fill(50)
				r, _ := w.fleet(launcher, good)
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				if !strings.Contains(r.stateOf(0), "given up") || r.stateOf(1) != "serving" {
					t.Errorf("the states are %q and %q", r.stateOf(0), r.stateOf(1))
				}
				if _, n := good.Last(); n != 1 || len(w.only("ack")) != 50 || launcher.Starts() > 5 {
					t.Errorf("%d servers on the other GPU, %d batches done, %d starts", n, len(w.only("ack")), launcher.Starts())
				}
				if err := r.end(); err != nil {
					t.Error(err)
				}
				launcher.CheckStopped(t)
			})
		})
	}
}

// What a GPU holds that is given up goes to others at once.
func TestWhatAGPUHoldsThatTakesLongToRestartGoesToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, launcher := newWorld(t), &supervisetest.Launcher{}
		w.fill(6)
		r, _ := w.fleet(launcher)
		time.Sleep(6 * time.Second)
		launcher.Break(errors.New("the GPU has fallen off the bus"))
		server, _ := launcher.Last()
		server.Exit()
		time.Sleep(time.Minute)
		synctest.Wait()
		now, _ := w.holds()
		if backs := w.only("hand-back"); now != 0 || len(backs) != 6 {
			t.Errorf("it holds %d batches after a minute without a server, %d handed back", now, len(backs))
		}
		if err := await(t, "the end without a GPU", r.done, bubbleTime); !errors.Is(err, ErrNoGPU) {
			t.Errorf("it ended with %v", err)
		}
		r.stop()
	})
}
