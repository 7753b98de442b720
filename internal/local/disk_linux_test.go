package local_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/local"
	"gleaner/internal/natsd/natsdtest"
	"gleaner/internal/pipeline"
	"gleaner/internal/status"
)

// runOn answers the rows of the demo with simulated GPUs, with everything in this folder.
func runOn(t *testing.T, data string, change func(*local.Config)) (local.Summary, error) {
	t.Helper()
	servers, err := local.ChooseServers(t.Context(), local.ServersConfig{Simulate: true, SimulatedGPUs: 1, Slots: 4, SimulatedSpeed: 50})
	if err != nil {
		t.Fatal(err)
	}
	defer servers.Close()
	cfg := local.Config{
		Spec:    pipeline.Spec{Model: servers.Model, Simulated: true, Field: "question", Samples: 1, Batch: 1, Options: pipeline.Options{NumPredict: 512}},
		Dataset: local.Problems(0), Data: data, GPUs: servers.GPUs, Log: zap.NewNop(),
	}
	change(&cfg)
	return local.Run(t.Context(), cfg)
}

func TestASmallDiskIsEnoughForASmallRun(t *testing.T) {
	natsdtest.OnSmallDisk(t, 30<<20, func(dir string) {
		summary, err := runOn(t, dir+"/data", func(*local.Config) {})
		if err != nil || summary.Stored != 50 {
			t.Errorf("%d answers, %v", summary.Stored, err)
		}
	})
}

func TestTooLittleRoomSaysHowMuchThereIsAndHowMuchIsNeeded(t *testing.T) {
	natsdtest.OnSmallDisk(t, 10<<20, func(dir string) {
		_, err := runOn(t, dir+"/data", func(*local.Config) {})
		t.Log(err)
		for _, said := range []string{"10 MiB free", "at least 24 MiB", "--max-bytes", "--data"} {
			if err == nil || !strings.Contains(err.Error(), said) {
				t.Errorf("it does not say %q", said)
			}
		}
	})
}

func TestTheRoomOfTheQueueCanBeChosen(t *testing.T) {
	natsdtest.OnSmallDisk(t, 22<<20, func(dir string) {
		summary, err := runOn(t, dir+"/data", func(cfg *local.Config) { cfg.MaxBytes = 16 << 20 })
		if err != nil || summary.Stored != 50 {
			t.Errorf("%d answers, %v", summary.Stored, err)
		}
	})
}

// The disk is full in the middle of a run, with the store and the queue on it. When there is room
// the run goes on by itself, and ends with every answer.
func TestARunGoesOnWhenAFullDiskHasRoomAgain(t *testing.T) {
	natsdtest.OnSmallDisk(t, 40<<20, func(dir string) {
		d := &fullDisk{t: t, dir: dir}
		summary, err := runOn(t, dir+"/data", func(cfg *local.Config) {
			cfg.Spec.Samples, cfg.Watch = 8, d.watch
		})
		d.waiting.Wait()
		if err != nil || summary.Stored != 400 {
			t.Errorf("%d answers, %v", summary.Stored, err)
		}
		if d.freed.IsZero() || d.again.IsZero() {
			t.Fatal("the disk was not full, or nothing was stored after that")
		}
		t.Logf("stores again %s after there is room", d.again.Sub(d.freed))
		if d.again.Sub(d.freed) > 10*time.Second {
			t.Error("that is too late")
		}
	})
}

// A fullDisk fills up when a run has stored some answers, and gets room again.
type fullDisk struct {
	t       *testing.T
	dir     string
	waiting sync.WaitGroup

	mu           sync.Mutex
	filled       bool
	stored       int // at last, while it was full
	freed, again time.Time
}

const fullFor = 4 * time.Second

func (d *fullDisk) watch(s status.Snapshot) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case !d.filled && s.Stored >= 20:
		d.filled = true
		free := natsdtest.FillDisk(d.t, d.dir)
		d.waiting.Add(1)
		time.AfterFunc(fullFor, func() {
			defer d.waiting.Done()
			free()
			d.mu.Lock()
			defer d.mu.Unlock()
			d.freed = time.Now()
		})
	case d.freed.IsZero():
		d.stored = s.Stored
	case d.again.IsZero() && s.Stored > d.stored:
		d.again = time.Now()
	}
}
