package reconcile

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

// queued returns a world of n batches of one generation each, all of which are on the queue.
func queued(t *testing.T, n int) *machine {
	t.Helper()
	sizes := make([]int, n)
	for i := range sizes {
		sizes[i] = 1
	}
	m := &machine{world: newWorld(sizes...), seen: map[int]string{}, done: make([]int, n)}
	for i := range n {
		works, err := maker{m.run}.Build(t.Context(), m.batches[i:i+1])
		if err != nil || m.publish(works[0]) != nil {
			t.Fatal(err)
		}
		m.mark(i)
	}
	return m
}

func TestWhatIsQueuedIsGivenUp(t *testing.T) {
	for name, c := range map[string]struct {
		options GiveUpOptions
		want    GiveUpReport
	}{
		"all":              {GiveUpOptions{}, GiveUpReport{Chosen: 4, GivenUp: 4, Generations: 4, Batches: []int{0, 1, 2, 3}}},
		"two":              {GiveUpOptions{Batches: []int{1, 3}}, GiveUpReport{Chosen: 2, GivenUp: 2, Generations: 2, Batches: []int{1, 3}}},
		"one that is done": {GiveUpOptions{Batches: []int{1, 4}}, GiveUpReport{Chosen: 2, GivenUp: 1, Generations: 1, Skipped: 1, Batches: []int{1}}},
		"in a dry run":     {GiveUpOptions{DryRun: true}, GiveUpReport{Chosen: 4, GivenUp: 4, Generations: 4, Batches: []int{0, 1, 2, 3}}},
	} {
		t.Run(name, func(t *testing.T) {
			m := queued(t, 5)
			for h := m.take(4, nil); !m.step(h); {
			}
			m.sink(0, true)
			before := m.String()
			var last GiveUpReport
			c.options.Progress = func(r GiveUpReport) { last = r }
			report, err := m.engine(nil).GiveUp(t.Context(), testRun, c.options)
			if diff := cmp.Diff(report, last); diff != "" {
				t.Errorf("the last progress is not the report (-report +progress):\n%s", diff)
			}
			if diff := cmp.Diff(c.want, report); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
			if c.options.DryRun {
				if diff := cmp.Diff(before, m.String()); diff != "" {
					t.Errorf("changed (-before +after):\n%s", diff)
				}
				return
			}
			if n := m.states()[pipeline.Dropped]; n != c.want.GivenUp || len(m.work) != 4-n {
				t.Errorf("%d dropped, %d on the queue", n, len(m.work))
			}
		})
	}
}

// Batches rest that their consumers name. Without a GPU that works, everything rests that was
// handed out.
func TestWhatRestsIsGivenUp(t *testing.T) {
	for name, c := range map[string]struct {
		named     []int
		busy      int
		handedOut uint64
		held      int
		want      []int
	}{
		"nothing":                           {nil, 1, 3, 3, []int{}},
		"what a consumer names":             {[]int{1}, 1, 3, 2, []int{1}},
		"and what one that is gone had":     {[]int{1}, 0, 3, 3, []int{0, 1, 2}},
		"what was handed out, with no GPUs": {nil, 0, 2, 2, []int{0, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			m := queued(t, 5)
			m.handedOut, m.held = c.handedOut, c.held
			m.addGPUs(largeContext)
			status := &m.gpus[0].reported.GPUs[0]
			status.RestingBatches, status.Resting, status.Busy = c.named, len(c.named), c.busy
			report, err := m.engine(nil).GiveUp(t.Context(), testRun, GiveUpOptions{Resting: true})
			if diff := cmp.Diff(c.want, report.Batches); diff != "" || err != nil {
				t.Errorf("%v, given up (-want +got):\n%s", err, diff)
			}
		})
	}
}

// The process dies before or right after each of its calls, or a call fails. What it left on the
// queue is taken off by a second call, or by who follows the run. A worker that holds the batch may
// still answer, and its answer wins.
func TestGivingUpMayBeKilledBetweenAnyTwoSteps(t *testing.T) {
	for _, how := range []fate{die, loseReply, refuse, loseAnswer} {
		for n := 0; ; n++ {
			m := queued(t, 2)
			held := m.take(1, nil)
			calls := 0
			_, failed := m.engine(func() fate {
				calls++
				switch {
				case calls-1 < n:
					return proceed
				case calls-1 == n:
					return how
				case how == refuse || how == loseAnswer:
					return proceed
				}
				return die
			}).GiveUp(t.Context(), testRun, GiveUpOptions{})
			if n%2 == 0 {
				if _, err := m.engine(nil).GiveUp(t.Context(), testRun, GiveUpOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			dropped := m.states()[pipeline.Dropped]
			r := m.engine(nil).Reconciler(testRun)
			for range 3 {
				if _, err := r.Pass(t.Context()); err != nil {
					t.Fatal(err)
				}
				m.now = m.now.Add(testLease)
			}
			if len(m.work) != 2-dropped {
				t.Fatalf("%d, call %d: %d dropped, %d on the queue", how, n, dropped, len(m.work))
			}
			for !m.step(held) {
			}
			m.sink(0, true)
			if m.batches[1].State != pipeline.Done || m.texts[1] == "" {
				t.Fatalf("%d, call %d: the late answer is not stored: %s", how, n, m)
			}
			if failed == nil && calls <= n {
				break
			}
		}
	}
}

// A dead letter that comes after its batch was given up is swept.
func TestALateLetterOfABatchThatWasGivenUpIsSwept(t *testing.T) {
	m := queued(t, 1)
	m.fails[0] = true
	held := m.take(0, nil)
	if _, err := m.engine(nil).GiveUp(t.Context(), testRun, GiveUpOptions{}); err != nil {
		t.Fatal(err)
	}
	for !m.step(held) {
	}
	m.applyMirror(0, true)
	left, err := m.engine(nil).Unsettled(t.Context(), testRun)
	if err != nil || left != 0 || len(m.dead) != 0 || m.batches[0].State != pipeline.Dropped {
		t.Error(err, left, m)
	}
}

// A broker that was restored has messages again that were acknowledged. Those of batches at their
// end are taken off, and no others.
func TestMessagesThatCameBackAreTakenOffTheQueue(t *testing.T) {
	m := queued(t, 3)
	for h := m.take(0, nil); !m.step(h); {
	}
	m.sink(0, true)
	m.work[0] = m.acked[0]
	m.batches[1].State = pipeline.Planned // published, and not marked yet
	r := m.engine(nil).Reconciler(testRun)
	restored := m.work[0]
	if err := r.Clear(t.Context()); err != nil || len(m.work) != 2 {
		t.Errorf("after a restore: %v, %d on the queue, want 2", err, len(m.work))
	}
	m.work[0] = restored // after that it takes two looks, since a worker may be about to acknowledge it
	for pass := range 2 {
		if _, err := r.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		if want := 3 - pass; len(m.work) != want {
			t.Errorf("after pass %d: %d on the queue, want %d", pass+1, len(m.work), want)
		}
	}
	if _, there := m.work[0]; there || m.unqueued != "" {
		t.Error(m.unqueued, fmt.Sprint("the wrong one was taken off", m))
	}
}
