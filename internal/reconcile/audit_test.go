package reconcile

import (
	"context"
	"iter"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

// A batch that moves between any two calls of an audit is not called lost.
func TestAnAuditIsRightWhileTheRunGoesOn(t *testing.T) {
	for seed := range 200 {
		m := &machine{world: newWorld(2, 1, 2, 1)}
		m.fails[3] = true
		var held []*holding
		calls := 0
		busy := func() fate {
			calls++
			for range (seed*7+calls*calls)%4 + 1 {
				held = m.life(held)
			}
			return proceed
		}
		a, err := m.engine(busy).Audit(t.Context(), testRun)
		if err != nil || !a.Balanced() || a.Stored+a.Dead+a.Outstanding != 6 {
			t.Fatalf("seed %d: %v %+v", seed, err, a)
		}
	}
}

// A redrive that is between its two steps has a batch that is nowhere, for a moment.
func TestAnAuditLooksTwiceBeforeItCallsABatchLost(t *testing.T) {
	m := &machine{world: newWorld(2)}
	m.mark(0)
	l := m.engine(nil)
	l.sleep = func(context.Context, time.Duration) error {
		m.work[0] = message[pipeline.Work]{}
		return nil
	}
	a, err := l.Audit(t.Context(), testRun)
	if err != nil || !a.Balanced() || a.Work != 2 {
		t.Errorf("%v, %+v", err, a)
	}
}

// life lets one thing happen in a world without faults.
func (m *machine) life(held []*holding) []*holding {
	switch {
	case len(m.results) > 0 && m.executed%2 == 0:
		m.sink(0, true)
	case len(m.mirror) > 0:
		m.applyMirror(0, true)
	case len(held) > 0:
		if m.step(held[0]) {
			return held[1:]
		}
	case len(m.results) > 0:
		m.sink(0, true)
	case len(m.work) > 0:
		for index := range m.batches {
			if _, ok := m.work[index]; ok {
				return append(held, m.take(index, nil))
			}
		}
	default:
		for i, b := range m.batches {
			if b.State == pipeline.Planned {
				works, _ := maker{m.run}.Build(context.Background(), []pipeline.Batch{b})
				_ = m.publish(works[0])
				m.mark(i)
				break
			}
		}
	}
	return held
}

func TestAnAuditNamesWhatBreaksTheLaw(t *testing.T) {
	m := &machine{world: newWorld(1, 2, 1)}
	m.mark(0) // lost
	m.batches[1].State, m.batches[1].Done = pipeline.Dead, []int{0}
	m.run.Generations = 5
	a, err := m.engine(nil).Audit(t.Context(), testRun)
	if err != nil {
		t.Fatal(err)
	}
	want := Account{
		Run: testRun, State: pipeline.RunOpen, Total: 5, Stored: 1, Outstanding: 1, Planned: 1, Lost: 3, Breaches: 3,
		Batches: map[pipeline.BatchState]int{pipeline.Queued: 1, pipeline.Dead: 1, pipeline.Planned: 1},
		Broken: []Breach{
			{Batch: "r/0000000", State: pipeline.Queued, Round: 1, Generations: 1, Reason: "lost, awaiting reconcile: it is queued, but neither on the queue nor in results nor under a dead letter of its round"},
			{Batch: "r/0000001", State: pipeline.Dead, Round: 1, Generations: 1, Reason: "lost, awaiting reconcile: it is dead, but no dead letter of its round names all that is missing"},
			{Generations: 1, Reason: "the run has 5 generations, its batches have 4"},
		},
	}
	if diff := cmp.Diff(want, a); diff != "" || a.Balanced() {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// What a worker still held when the run was cancelled is stored when it arrives. What cancel took
// from the queue is not called lost, since it is never published again.
func TestAnAuditOfACancelledRunLosesNothing(t *testing.T) {
	m := &machine{world: newWorld(2, 2, 1, 1)}
	for i := range 3 {
		works, err := maker{m.run}.Build(t.Context(), m.batches[i:i+1])
		if err != nil || m.publish(works[0]) != nil {
			t.Fatal(err)
		}
		m.mark(i)
	}
	held := m.take(0, nil)
	m.run.State = pipeline.RunCancelled
	clear(m.work)
	audit := func(want Account) {
		t.Helper()
		a, err := m.engine(nil).Audit(t.Context(), testRun)
		want.Run, want.State, want.Total, want.Batches = testRun, pipeline.RunCancelled, 6, a.Batches
		if diff := cmp.Diff(want, a); diff != "" || err != nil || !a.Balanced() {
			t.Errorf("%v -want +got:\n%s", err, diff)
		}
	}
	audit(Account{Cancelled: 6})
	for !m.step(held) {
	}
	audit(Account{Cancelled: 4, Outstanding: 2, Results: 2})
	for len(m.results) > 0 {
		m.sink(0, true)
	}
	audit(Account{Cancelled: 4, Stored: 2})
}

// A run seems complete while the dead letters of its dead batches are lost.
func TestUnsettledSweepsAndCountsWhatIsNotAccountedFor(t *testing.T) {
	m := failed(4)
	if lost, err := m.engine(nil).Unsettled(t.Context(), testRun); lost != 0 || err != nil {
		t.Errorf("with all letters %d are lost, %v", lost, err)
	}
	letter := m.dead[1]
	delete(m.dead, 1)
	m.batches[2].Done, m.batches[2].State = []int{0}, pipeline.Done
	if lost, err := m.engine(nil).Unsettled(t.Context(), testRun); lost != 1 || err != nil {
		t.Errorf("without one of the letters %d are lost, %v", lost, err)
	}
	m.dead[1] = letter
	if lost, err := m.engine(nil).Unsettled(t.Context(), testRun); lost != 0 || err != nil || len(m.dead) != 3 {
		t.Errorf("with the letter again %d are lost, %d letters are left, %v", lost, len(m.dead), err)
	}
}

// An audit reads all dead letters. While nothing changes the audits are further and further apart,
// and once this process has put something right the next one is at once.
func TestWhatStaysLostIsNotAuditedAgainAndAgain(t *testing.T) {
	m := failed(4)
	delete(m.dead, 1)
	e := m.engine(nil)
	audits := auditing{view{m.world, func() fate { return proceed }}, new(int)}
	e.streams = audits
	unsettled := func(want int) {
		t.Helper()
		if left, err := e.Unsettled(t.Context(), testRun); left != want || err != nil {
			t.Fatalf("%d are unsettled, want %d, %v", left, want, err)
		}
	}
	var at []int
	began := m.now
	for m.now.Sub(began) < 3*time.Minute {
		before := *audits.count
		seconds := int(m.now.Sub(began).Seconds())
		unsettled(1)
		if *audits.count > before {
			at = append(at, seconds)
		}
		m.now = m.now.Add(time.Second)
	}
	for i, last := range at[1:] {
		if rest := last - at[i]; rest > 36 || i > 4 && rest < 28 { // an audit with suspects takes some seconds itself
			t.Errorf("audits after %v s", at)
			break
		}
	}
	f := e.follow(testRun, 0)
	for range 2 {
		if _, err := f.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		m.now = m.now.Add(4 * patienceDead * testLease)
	}
	before := *audits.count
	if _, err := f.Pass(t.Context()); err != nil || f.RunReconciler.mends.Load() != 1 {
		t.Fatalf("%d were put right, %v", f.RunReconciler.mends.Load(), err)
	}
	unsettled(1) // it is on the queue
	if *audits.count == before {
		t.Error("no audit after something was put right")
	}
	for h := m.take(1, nil); !m.step(h); {
	}
	m.applyMirror(len(m.mirror)-1, true)
	unsettled(0)
}

// An auditing view counts how often all dead letters are read.
type auditing struct {
	view
	count *int
}

func (a auditing) DeadLetters(ctx context.Context, run string) iter.Seq2[pipeline.StoredDeadLetter, error] {
	*a.count++
	return a.view.DeadLetters(ctx, run)
}

// A program may follow one run after the other.
func TestARunThatIsNoLongerFollowedIsForgotten(t *testing.T) {
	m := failed(1)
	e := m.engine(nil)
	followed := func() (n int) {
		e.followed.Range(func(any, any) bool { n++; return true })
		return n
	}
	ctx, stop := context.WithCancel(t.Context())
	first, second := e.follow(testRun, 1), e.follow(testRun, 1)
	e.follow(testRun, -1)
	if _, err := e.Unsettled(ctx, testRun); err != nil || first != second || followed() != 1 {
		t.Errorf("while it is followed %d are known, %v", followed(), err)
	}
	e.follow(testRun, -1)
	stop()
	if err := e.Reconcile(ctx, testRun); err != nil || followed() != 0 {
		t.Errorf("after the end %d are known, %v", followed(), err)
	}
	if _, err := e.Unsettled(t.Context(), "gone"); err == nil || followed() != 0 {
		t.Errorf("of a run that is gone %d are known, %v", followed(), err)
	}
}

func TestAnAuditNamesWhatIsInProgressForTooLong(t *testing.T) {
	m := &machine{world: newWorld(2)}
	m.mark(0)
	l := m.engine(nil)
	l.streams = reporting{l.streams, []pipeline.Presence{
		{ID: "other", Run: "other", GPUs: []pipeline.GPUStatus{{Name: "g", Overdue: []pipeline.OverdueBatch{{Batch: 0, Seconds: 9}}}}},
		{ID: "c", Run: testRun, Host: "h", GPUs: []pipeline.GPUStatus{{Name: "g", Overdue: []pipeline.OverdueBatch{{Batch: 0, Seconds: 9000}}}}},
	}}
	a, err := l.Audit(t.Context(), testRun)
	want := []pipeline.HeldBatch{{OverdueBatch: pipeline.OverdueBatch{Batch: 0, Seconds: 9000}, LaneID: pipeline.LaneID{Consumer: "c", GPU: "g"}, Host: "h"}}
	if diff := cmp.Diff(want, a.Overdue); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// reporting are streams with these reports of consumers.
type reporting struct {
	Streams
	consumers []pipeline.Presence
}

func (r reporting) Consumers(context.Context) ([]pipeline.Presence, error) { return r.consumers, nil }

// A broker that was restored has what was stored long ago.
func TestAnAuditNamesCopiesOfFinishedBatches(t *testing.T) {
	m := queued(t, 3)
	m.fails[1] = true
	for i := range 2 {
		for h := m.take(i, nil); !m.step(h); {
		}
	}
	copied := m.results[0]
	m.sink(0, true)
	m.results = append(m.results, copied)
	m.batches[1].State, m.batches[1].Done = pipeline.Done, []int{0}
	a, err := m.engine(nil).Audit(t.Context(), testRun)
	if err != nil || !a.Balanced() {
		t.Fatal(err, a)
	}
	if diff := cmp.Diff([]Copies{{1, []string{"r/0000000"}}, {1, []string{"r/0000001"}}}, []Copies{a.OnResults, a.OnDead}); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
