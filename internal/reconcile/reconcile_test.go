package reconcile

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"gleaner/internal/pipeline"
)

func TestAReconcilerActsAfterTwiceThreeLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &machine{world: newWorld(1)}
		m.mark(0) // published, and lost
		l := m.engine(nil)
		l.now = time.Now
		started := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var after time.Duration
		m.requeued = func(pipeline.Batch, pipeline.Batch) { after = time.Since(started); cancel() }
		if err := l.Reconciler(testRun).Run(ctx); err != nil {
			t.Error(err)
		}
		if after != 6*testLease || m.batches[0].Round != 2 {
			t.Errorf("repaired after %s, round %d", after, m.batches[0].Round)
		}
	})
}

// An earlier version pauses a run on the queue alone, and not everyone asks the queue.
func TestAPauseOfAnEarlierVersionIsWrittenDown(t *testing.T) {
	now := time.Date(2026, 3, 1, 7, 30, 0, 0, time.UTC)
	earlier := &pipeline.RunPause{Since: now.Add(-time.Hour), Reason: "lunch"}
	for name, c := range map[string]struct {
		paused bool
		as     time.Time
		before *pipeline.RunPause
		want   *pipeline.RunPause
	}{
		"it is not paused":                     {false, time.Time{}, nil, nil},
		"by an earlier version":                {true, time.Time{}, nil, &pipeline.RunPause{Since: now, Cause: pipeline.PausedByPerson}},
		"the store knows it":                   {true, time.Time{}, earlier, earlier},
		"the store's pause has just ended":     {true, now.Add(-time.Hour), nil, nil},
		"the store knows it, and so do others": {true, now.Add(-time.Hour), earlier, earlier},
	} {
		t.Run(name, func(t *testing.T) {
			m := &machine{world: newWorld(1)}
			m.paused, m.pausedAs, m.run.Pause = c.paused, c.as, c.before
			l := m.engine(nil)
			l.now = func() time.Time { return now }
			if _, err := l.Reconciler(testRun).Pass(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, m.run.Pause); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAReconcilerGoesOnWhenTheStoreComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &machine{world: newWorld(1)}
		m.mark(0)
		core, logs := observer.New(zap.InfoLevel)
		started := time.Now()
		l := m.engine(func() fate {
			if d := time.Since(started); d > 2*testLease && d < 20*testLease {
				return die
			}
			return proceed
		})
		l.now, l.log = time.Now, zap.New(core)
		ctx, cancel := context.WithTimeout(t.Context(), 30*testLease)
		defer cancel()
		if err := l.Reconciler(testRun).Run(ctx); err != nil || m.batches[0].Round != 2 {
			t.Errorf("%v, %s", err, m)
		}
		if n := logs.FilterLevelExact(zap.WarnLevel).Len(); n != 1 {
			t.Errorf("%d warnings: %v", n, logs.All())
		}
	})
}

func TestAReconcilerEndsWithItsRun(t *testing.T) {
	m := &machine{world: newWorld(1)}
	if err := m.engine(nil).Reconciler("gone").Run(t.Context()); !errors.Is(err, pipeline.ErrNoRun) {
		t.Error(err)
	}
	m.run.State = pipeline.RunCancelled
	if err := m.engine(nil).Reconciler(testRun).Run(t.Context()); !errors.Is(err, errNotOpen) {
		t.Error(err)
	}
}

// What cannot be put on the queue is not taken from the store either, one batch after the other.
func TestAFullQueueEndsThePass(t *testing.T) {
	m := &machine{world: newWorld(1, 1, 1)}
	for i := range m.batches {
		m.mark(i)
	}
	m.room = 0
	r := m.engine(nil).Reconciler(testRun)
	var report PassReport
	var err error
	for range 7 {
		report, err = r.Pass(t.Context())
		m.now = m.now.Add(testLease)
	}
	if !errors.Is(err, pipeline.ErrFull) || !strings.Contains(err.Error(), "putting the lost batch r/0000000 on the queue again") || report.Repaired != 1 || report.Refused != 1 {
		t.Errorf("%v, %+v", err, report)
	}
}

// The looks for a batch that is where it should be are further and further apart.
func TestLooksCostLittle(t *testing.T) {
	m := &machine{world: newWorld(slices.Repeat([]int{1}, 100)...)}
	for i := range m.batches {
		m.mark(i)
		m.work[i] = message[pipeline.Work]{}
	}
	r := m.engine(nil).Reconciler(testRun)
	looks := 0
	for range 120 {
		report, err := r.Pass(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		looks += report.Looked
		m.now = m.now.Add(testLease)
	}
	if looks > 1200 {
		t.Errorf("%d looks at 100 batches in 120 leases", looks)
	}
}

// A consumer may acknowledge a batch that another one holds: NATS does not check who it is. If the
// holder then dies, the batch is nowhere. However long it was on the queue before, and so however
// rare the looks are, it has its next round within 17 leases.
func TestABatchThatAnotherAcknowledgedIsRepairedWithin17Leases(t *testing.T) {
	longest := 0
	for held := range 80 { // leases
		w := newWorld(1)
		works, _ := maker{w.run}.Build(t.Context(), w.batches)
		if err := w.publish(works[0]); err != nil {
			t.Fatal(err)
		}
		w.batches[0].State, w.batches[0].QueuedAt = pipeline.Queued, w.now
		r := w.engine(nil).Reconciler(testRun)
		pass := func() {
			if _, err := r.Pass(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.now = w.now.Add(testLease)
		}
		for range held {
			pass()
		}
		clear(w.work)
		leases := 0
		for ; w.batches[0].Round == 1 && leases < 100; leases++ {
			pass()
		}
		longest = max(longest, leases)
	}
	if longest > 17 || longest < 15 {
		t.Errorf("the next round begins after up to %d leases, want 15 to 17", longest)
	}
}

// A server that is killed may count an acknowledgement and find the message again on its disk. The
// queue hands it out to no one, and it would keep every further round of the batch off the queue.
func TestAMessageThatTheServerKeptAfterItsAcknowledgementDoesNotBlockItsBatch(t *testing.T) {
	stray := func(t *testing.T, m *machine) {
		t.Helper()
		m.work[0] = m.acked[0]
		m.stray[m.work[0].seq] = true
	}
	t.Run("a batch that is queued", func(t *testing.T) {
		m := failed(1)
		if _, err := m.engine(nil).Redrive(t.Context(), Filter{}, RedriveOptions{}); err != nil {
			t.Fatal(err)
		}
		clear(m.work)
		stray(t, m)
		r := m.engine(nil).Reconciler(testRun)
		for range 17 { // leases
			m.now = m.now.Add(testLease)
			if _, err := r.Pass(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got := m.work[0]; got.body.Round != 3 || m.stray[got.seq] || m.unqueued != "" {
			t.Errorf("on the queue is %+v; %s", got, m.unqueued)
		}
	})
	t.Run("a dead batch that is redriven", func(t *testing.T) {
		m := failed(1)
		stray(t, m)
		report, err := m.engine(nil).Redrive(t.Context(), Filter{}, RedriveOptions{})
		if err != nil || report.Redriven != 1 || m.work[0].body.Round != 2 {
			t.Errorf("%+v, on the queue is %+v: %v", report, m.work[0], err)
		}
	})
	t.Run("a dead batch that stays", func(t *testing.T) {
		m := failed(1)
		stray(t, m)
		r := m.engine(nil).Reconciler(testRun)
		if err := r.Clear(t.Context()); err != nil || len(m.work) != 0 || m.unqueued != "" {
			t.Errorf("on the queue are %v; %s: %v", m.work, m.unqueued, err)
		}
	})
}
