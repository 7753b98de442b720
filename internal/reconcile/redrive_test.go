package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"gleaner/internal/pipeline"
)

// failed returns a world of n batches of one generation each, all of which are dead.
func failed(n int) *machine {
	m := &machine{world: newWorld(slices.Repeat([]int{1}, n)...), seen: map[int]string{}, done: make([]int, n)}
	for i := range n {
		m.fails[i] = true
	}
	m.everybody()
	return m
}

// states counts the batches by their state.
func (m *machine) states() map[pipeline.BatchState]int {
	states := map[pipeline.BatchState]int{}
	for _, b := range m.batches {
		states[b.State]++
	}
	return states
}

func TestFortyItemsAreRedrivenAfterTheirFaultIsMended(t *testing.T) {
	m := failed(40)
	clear(m.fails)
	report, err := m.engine(nil).Redrive(t.Context(), Filter{Classes: []pipeline.Class{pipeline.BadItem}}, RedriveOptions{})
	if diff := cmp.Diff(RedriveReport{Chosen: 40, Redriven: 40, Generations: 40}, report); diff != "" || err != nil {
		t.Fatal(err, diff)
	}
	m.everybody()
	if diff := cmp.Diff(map[pipeline.BatchState]int{pipeline.Done: 40}, m.states()); diff != "" || len(m.dead) > 0 || len(m.texts) != 40 {
		t.Errorf("%d dead letters, %d texts, states (-want +got):\n%s", len(m.dead), len(m.texts), diff)
	}
}

// The process dies before or right after each of its calls, and a reconciler repairs what it left.
func TestARedriveMayBeKilledBetweenAnyTwoSteps(t *testing.T) {
	for _, how := range []fate{die, loseReply} {
		for n := 0; ; n++ {
			m := failed(3)
			clear(m.fails)
			calls := 0
			decide := func() fate {
				calls++
				switch {
				case calls-1 < n:
					return proceed
				case calls-1 == n:
					return how
				}
				return die
			}
			_, killed := m.engine(decide).Redrive(t.Context(), Filter{}, RedriveOptions{})
			m.everybody()
			r := m.engine(nil).Reconciler(testRun)
			for range 10 {
				m.now = m.now.Add(testLease)
				if _, err := r.Pass(t.Context()); err != nil {
					t.Fatal(err)
				}
				m.everybody()
			}
			if _, err := m.engine(nil).Redrive(t.Context(), Filter{}, RedriveOptions{}); err != nil {
				t.Fatal(err)
			}
			m.everybody()
			if diff := cmp.Diff(map[pipeline.BatchState]int{pipeline.Done: 3}, m.states()); diff != "" || len(m.dead) > 0 {
				t.Fatalf("killed at call %d: %d dead letters, states (-want +got):\n%s", n, len(m.dead), diff)
			}
			if killed == nil {
				break
			}
		}
	}
}

// Each of its calls is refused for a while: the store is over its quota, the stream is away.
func TestARedriveGoesOnByItselfAfterAnOutageAnywhere(t *testing.T) {
	for n := 1; ; n++ {
		m := failed(3)
		clear(m.fails)
		calls := 0
		decide := func() fate {
			if calls++; calls >= n && calls < n+100 {
				return refuse
			}
			return proceed
		}
		core, logs := observer.New(zap.InfoLevel)
		l := m.engine(decide)
		l.log, l.sleep = zap.New(core), sleepless
		report, err := l.Redrive(t.Context(), Filter{}, RedriveOptions{})
		if diff := cmp.Diff(RedriveReport{Chosen: 3, Redriven: 3, Generations: 3}, report); diff != "" || err != nil || len(m.dead) != 0 || len(m.work) != 3 {
			t.Fatalf("refused from call %d: %v, %d dead letters, %d on the queue, report (-want +got):\n%s", n, err, len(m.dead), len(m.work), diff)
		}
		if calls < n {
			break
		}
		var said []string
		for _, e := range logs.All() {
			said = append(said, e.Message)
		}
		if diff := cmp.Diff([]string{"the redrive waits; nothing is lost, trying again until it works", "the redrive goes on"}, said); diff != "" {
			t.Fatalf("refused from call %d: (-want +got):\n%s", n, diff)
		}
	}
}

func sleepless(ctx context.Context, _ time.Duration) error { return ctx.Err() }

// An interruption ends a redrive between two letters, not within one.
func TestAnInterruptedRedriveFinishesTheLetterThatItHolds(t *testing.T) {
	m := failed(3)
	ctx, interrupt := context.WithCancel(t.Context())
	m.requeued = func(_, _ pipeline.Batch) { interrupt() }
	report, err := m.engine(nil).Redrive(ctx, Filter{}, RedriveOptions{})
	if !errors.Is(err, context.Canceled) || report.Redriven != 1 || len(m.work) != 1 || len(m.dead) != 2 {
		t.Errorf("%v, %+v: %s", err, report, m)
	}
}

func TestTwoOperatorsRedriveEachBatchOnce(t *testing.T) {
	m := failed(5)
	defer m.killAll()
	var reports [2]RedriveReport
	for i := range reports {
		m.start(fmt.Sprint(i), func(l *Engine) { reports[i], _ = l.Redrive(context.Background(), Filter{}, RedriveOptions{}) })
	}
	for i := 0; len(m.actors) > 0; i++ {
		m.advance(m.actors[i%len(m.actors)], proceed)
	}
	if sum := reports[0].Redriven + reports[1].Redriven; sum != 5 || len(m.work) != 5 || len(m.dead) != 0 {
		t.Errorf("%d batches redriven, %d queued, %d letters left: %+v", sum, len(m.work), len(m.dead), reports)
	}
	for _, b := range m.batches {
		if b.Round != 2 {
			t.Errorf("batch %d is in round %d", b.Index, b.Round)
		}
	}
}

func TestARedriveHeedsItsLimitAndItsRate(t *testing.T) {
	m := failed(10)
	start := m.now
	report, err := m.engine(nil).Redrive(t.Context(), Filter{}, RedriveOptions{Limit: 4, Rate: 2})
	if err != nil || report.Redriven != 4 || len(m.work) != 4 {
		t.Fatalf("%+v, %d queued, %v", report, len(m.work), err)
	}
	if took := m.now.Sub(start); took != 1500*time.Millisecond {
		t.Errorf("4 letters at 2 a second took %s", took)
	}
}

func TestADryRunOfARedriveChangesNothing(t *testing.T) {
	m := failed(3)
	before := m.String()
	report, err := m.engine(nil).Redrive(t.Context(), Filter{}, RedriveOptions{DryRun: true, Limit: 2})
	if diff := cmp.Diff(RedriveReport{Chosen: 2, Redriven: 2, Generations: 2}, report); diff != "" || err != nil {
		t.Error(err, diff)
	}
	if diff := cmp.Diff(before, m.String()); diff != "" {
		t.Errorf("changed (-before +after):\n%s", diff)
	}
}

func TestOverridesConcernTheNewRoundOnly(t *testing.T) {
	m := failed(1)
	warm, seed := 0.7, 5
	if _, err := m.engine(nil).Redrive(t.Context(), Filter{}, RedriveOptions{Options: pipeline.Options{NumPredict: 4096, Temperature: &warm}, Seed: &seed}); err != nil {
		t.Fatal(err)
	}
	work := m.work[0].body
	want := pipeline.Options{NumPredict: 4096, Temperature: &warm}
	if diff := cmp.Diff(want, work.Options); diff != "" {
		t.Errorf("options (-want +got):\n%s", diff)
	}
	if want := pipeline.Seed(5, pipeline.GenerationID(testRun, 0, 0)); work.Generations[0].Seed != want || !work.Reseeded {
		t.Errorf("seed %d, want %d; said: %v", work.Generations[0].Seed, want, work.Reseeded)
	}
	if m.run.Spec.Options.NumPredict != 64 {
		t.Error("the run's own options changed")
	}
	if _, err := m.engine(nil).Redrive(t.Context(), Filter{}, RedriveOptions{Options: pipeline.Options{NumPredict: pipeline.MaxNumPredict + 1}}); err == nil {
		t.Error("no error for too many tokens")
	}
	if _, err := m.engine(nil).Redrive(t.Context(), Filter{}, RedriveOptions{Options: pipeline.Options{NumCtx: 8192}}); err == nil || !strings.Contains(err.Error(), "num-ctx: it is of the whole run") {
		t.Errorf("a context that would be for nothing: %v", err)
	}
}

// While the queue is full a redrive waits, and logs what the stream says about it.
func TestARedriveWaitsForRoomAndSaysSoOnce(t *testing.T) {
	m := failed(2)
	m.room = 0
	core, logs := observer.New(zap.InfoLevel)
	l := m.engine(nil)
	l.log = zap.New(core)
	waits := 0
	l.sleep = func(context.Context, time.Duration) error {
		if waits++; waits == 5 {
			m.room = 10
		}
		return nil
	}
	report, err := l.Redrive(t.Context(), Filter{}, RedriveOptions{})
	if err != nil || report.Redriven != 2 {
		t.Fatal(report, err)
	}
	if logs.Len() != 2 || !strings.Contains(logs.All()[0].Message, "the queue has no room") || !strings.Contains(logs.All()[1].Message, "takes batches again") {
		t.Errorf("the log has %v", logs.All())
	}
}

func TestARefusedRedriveLeavesTheLetter(t *testing.T) {
	m := failed(1)
	m.work[0] = message[pipeline.Work]{seq: 1, body: pipeline.Work{Run: testRun, Batch: 0, Round: 1}}
	report, err := m.engine(nil).Redrive(t.Context(), Filter{}, RedriveOptions{})
	if diff := cmp.Diff(RedriveReport{Chosen: 1, Refused: 1}, report); diff != "" || err != nil || len(m.dead) != 1 {
		t.Error(err, len(m.dead), diff)
	}
}

func TestRedriveOfARunThatIsNotOpenSaysSo(t *testing.T) {
	m := failed(1)
	m.run.State = pipeline.RunCancelled
	if _, err := m.engine(nil).Redrive(t.Context(), Filter{Run: testRun}, RedriveOptions{}); !errors.Is(err, errNotOpen) {
		t.Error(err)
	}
	if report, err := m.engine(nil).Redrive(t.Context(), Filter{}, RedriveOptions{}); err != nil || report.Skipped != 1 {
		t.Error(report, err)
	}
}

// Two operators may take a batch at the same moment: the one that was refused does not take the
// other's round for its own.
func TestARefusedClaimIsNotMistakenForTheWinner(t *testing.T) {
	m := failed(1)
	first, second := claim{seen: m.batches[0], at: m.now}, claim{seen: m.batches[0], at: m.now}
	if ours, err := first.make(t.Context(), m.engine(nil)); err != nil || !ours {
		t.Error(ours, err)
	}
	if ours, err := second.make(t.Context(), m.engine(nil)); err != nil || ours {
		t.Error(ours, err)
	}
	if m.batches[0].Round != 2 {
		t.Error(m)
	}
}
