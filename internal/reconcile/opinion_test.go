package reconcile

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

// judged returns a world in which the first of these GPUs has judged one batch with generations of
// these natures, and the sink knows it.
func judged(gpus []int, natures ...nature) *machine {
	m := &machine{world: newWorld(len(natures)), seen: map[int]string{}, done: make([]int, 1)}
	for i, nature := range natures {
		m.natures[i] = nature
	}
	m.addGPUs(gpus...)
	works, _ := maker{m.run}.Build(context.Background(), m.batches)
	_ = m.publish(works[0])
	m.mark(0)
	m.runOn(m.gpus[0])
	return m
}

// runOn lets a GPU do all of a batch that is on the queue, and the sink store what comes of it.
func (m *machine) runOn(g *gpu) {
	for h := m.takeOn(g, 0, nil); !m.step(h); {
	}
	for len(m.results) > 0 {
		m.sink(0, true)
	}
	for len(m.mirror) > 0 {
		m.applyMirror(0, true)
	}
}

// opine makes a look and returns what it found and did.
func (m *machine) opine(t *testing.T, r *RunReconciler) OpinionReport {
	t.Helper()
	report, err := r.Opine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// The message of a second opinion has what is doubted, as it was in the letter's round, and the
// other verdicts. Nothing that is missing is missing there.
func TestASecondOpinionHasWhatIsDoubtedAndKeepsTheRest(t *testing.T) {
	m := judged([]int{smallContext, largeContext}, easy, large, large, easy)
	m.fails[3] = true
	m.batches[0].Done, m.batches[0].State = []int{0}, pipeline.Dead
	delete(m.texts, 3)
	warm := 0.7
	letter := m.dead[0]
	fails := pipeline.GenerationFailure{Generation: pipeline.Generation{Index: 3, Item: 3, Seed: 77, Messages: pipeline.User("old")}, Class: pipeline.BadItem, Message: "template", Attempts: 1}
	letter.Failures = append(letter.Failures, fails)
	letter.Options = pipeline.Options{NumPredict: 999, Temperature: &warm}
	letter.Failures[0].Seed = 55
	m.dead[0] = letter
	report := m.opine(t, m.engine(nil).Reconciler(testRun))
	if diff := cmp.Diff(OpinionReport{Given: 2}, report); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	first := m.gpus[0].id
	fails.Judge, fails.Messages = first, pipeline.User("p")
	want := pipeline.Work{
		Run: testRun, UID: testUID, Round: 2, Model: "m", Options: letter.Options, Reseeded: true, Judged: []pipeline.LaneID{first},
		Needs: largeNeeds, Final: []pipeline.GenerationFailure{fails},
		Generations: []pipeline.Generation{{Index: 1, Item: 1, Seed: 55, Messages: pipeline.User("p")}, {Index: 2, Item: 2, Messages: pipeline.User("p")}},
	}
	if diff := cmp.Diff(want, m.work[0].body); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if b := m.batches[0]; b.Round != 2 || b.Opinions != 1 || b.State != pipeline.Queued || len(m.dead) > 0 {
		t.Errorf("%s", m)
	}
	m.runOn(m.gpus[1])
	if m.texts[1] == "" || m.texts[2] == "" || len(m.dead[0].Failures) != 1 || !m.explained(m.batches[0]) {
		t.Errorf("%s", m)
	}
	if report := m.opine(t, m.engine(nil).Reconciler(testRun)); report != (OpinionReport{}) || m.batches[0].State != pipeline.Dead {
		t.Errorf("what is certain is judged again: %+v, %s", report, m)
	}
}

// What a verdict is worth depends on its class, on who is there, and on what the judge has shown
// since.
func TestAVerdictIsDoubtedWhileAnotherGPUCouldDoBetter(t *testing.T) {
	const first, second = 0, 1
	for name, c := range map[string]struct {
		gpus   []int
		nature nature
		before func(m *machine) // after the verdict, before the first look
		then   func(m *machine) // before the second look, a third of a lease later
		want   [3]OpinionReport // of the looks, the last one lease after the first
	}{
		"too large, and a larger context": {[]int{smallContext, largeContext}, large, nil, nil, [3]OpinionReport{{Given: 1}, {}, {}}},
		"too large everywhere":            {[]int{smallContext, smallContext}, large, nil, nil, [3]OpinionReport{}},
		"too large, alone":                {[]int{smallContext}, large, nil, nil, [3]OpinionReport{}},
		"unanswered":                      {[]int{largeContext, largeContext}, hanging, nil, nil, [3]OpinionReport{{Given: 1}, {}, {}}},
		"unanswered, alone":               {[]int{largeContext}, hanging, nil, nil, [3]OpinionReport{}},
		"another GPU is held": {[]int{largeContext, largeContext}, hanging, func(m *machine) {
			m.gpus[second].serving = false
			m.gpus[second].report()
		}, nil, [3]OpinionReport{}},
		"another GPU is on its way": {[]int{largeContext, largeContext}, hanging, func(m *machine) {
			m.gpus[second].reported.GPUs[0].State = pipeline.GPULoading
		}, nil, [3]OpinionReport{{Awaiting: 1}, {Awaiting: 1}, {}}},
		"another GPU comes later": {[]int{largeContext, largeContext}, hanging, func(m *machine) {
			m.gpus[second].reported.Run = "another"
		}, func(m *machine) { m.gpus[second].report(); m.now = m.now.Add(meetEvery) }, [3]OpinionReport{{}, {Given: 1}, {}}},
		"of an earlier version": {[]int{largeContext, largeContext}, hanging, func(m *machine) {
			m.gpus[second].reported.GPUs[0].Engine = ""
		}, nil, [3]OpinionReport{}},
		"of another digest": {[]int{largeContext, largeContext}, hanging, func(m *machine) {
			m.run.Pins = map[pipeline.EngineName]string{pipeline.Ollama: "a"}
			m.gpus[second].reported.GPUs[0].Digest = "b"
		}, nil, [3]OpinionReport{}},
		"cut off, and its judge proves that it works": {[]int{largeContext, largeContext}, endless, nil, func(m *machine) {
			m.gpus[first].proven = 1
			m.gpus[first].report()
		}, [3]OpinionReport{{Awaiting: 1}, {}, {}}},
		"cut off, and its judge has shown that before": {[]int{largeContext, largeContext}, endless, func(m *machine) {
			m.gpus[first].proven = 1
			m.gpus[first].report()
		}, nil, [3]OpinionReport{}},
		"cut off in a long row, and its judge has shown since that it works": {[]int{largeContext, largeContext}, endless, func(m *machine) {
			m.gpus[first].proven, m.gpus[first].doubted = 20, []pipeline.OutcomeRange{{First: 1, Last: 8}}
			m.gpus[first].report()
		}, nil, [3]OpinionReport{{Given: 1}, {}, {}}},
		"cut off, and its judge has nothing to show": {[]int{largeContext, largeContext}, endless, nil, func(m *machine) {
			m.gpus[first].report()
		}, [3]OpinionReport{{Awaiting: 1}, {Given: 1}, {}}},
		"cut off, and its judge is busy": {[]int{largeContext, largeContext}, endless, nil, func(m *machine) {
			m.gpus[first].report()
			m.gpus[first].reported.GPUs[0].Busy = 1
		}, [3]OpinionReport{{Awaiting: 1}, {Awaiting: 1}, {Given: 1}}},
		"cut off, and its judge says nothing": {[]int{largeContext, largeContext}, endless, nil, nil, [3]OpinionReport{{Awaiting: 1}, {Awaiting: 1}, {Given: 1}}},
		"cut off, and its judge is held": {[]int{largeContext, largeContext}, endless, func(m *machine) {
			m.gpus[first].serving = false
			m.gpus[first].report()
		}, nil, [3]OpinionReport{{Given: 1}, {}, {}}},
		"cut off, and its judge is gone": {[]int{largeContext, largeContext}, endless, func(m *machine) {
			m.gpus = m.gpus[second:]
		}, nil, [3]OpinionReport{{Given: 1}, {}, {}}},
		"cut off, alone": {[]int{largeContext}, endless, nil, nil, [3]OpinionReport{}},
		"after two opinions": {[]int{largeContext, largeContext}, hanging, func(m *machine) {
			m.batches[0].Opinions = 2
		}, nil, [3]OpinionReport{}},
		"in a letter of another round": {[]int{largeContext, largeContext}, hanging, func(m *machine) {
			m.batches[0].Round = 2
		}, nil, [3]OpinionReport{}},
	} {
		t.Run(name, func(t *testing.T) {
			m := judged(c.gpus, c.nature)
			if c.before != nil {
				c.before(m)
			}
			r := m.engine(nil).Reconciler(testRun)
			var got [3]OpinionReport
			got[0] = m.opine(t, r)
			m.now = m.now.Add(testLease / 3)
			if c.then != nil {
				c.then(m)
			}
			got[1] = m.opine(t, r)
			m.now = m.now.Add(testLease)
			got[2] = m.opine(t, r)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if given := m.batches[0].State == pipeline.Queued; given != slices.ContainsFunc(got[:], func(r OpinionReport) bool { return r.Given > 0 }) {
				t.Errorf("%s", m)
			}
		})
	}
}

// Letters of earlier versions say neither when nor on what context a verdict was given.
func TestWhatTheSameGPUSaidInAnEarlierProcessIsDoubtedForItsContextOnly(t *testing.T) {
	for name, c := range map[string]struct {
		gpus   []int
		nature nature
		want   int
	}{
		"hanging":                     {[]int{largeContext, largeContext}, hanging, 0},
		"cut off":                     {[]int{largeContext, largeContext}, endless, 0},
		"too large, and it has grown": {[]int{smallContext, largeContext}, large, 1},
	} {
		m := judged(c.gpus, c.nature)
		e := m.engine(nil)
		e.cfg.Consumer = m.gpus[1].id.Consumer
		r := e.Reconciler(testRun)
		given := m.opine(t, r).Given
		m.now = m.now.Add(2 * testLease)
		if given += m.opine(t, r).Given; given != c.want {
			t.Errorf("%s: %d opinions, want %d", name, given, c.want)
		}
	}
}

func TestVerdictsOfEarlierVersionsAreNotDoubted(t *testing.T) {
	for _, class := range []pipeline.Class{pipeline.BadItem, pipeline.Truncated, pipeline.Degenerate, pipeline.Malformed, pipeline.Poison, pipeline.Undeliverable} {
		letter := pipeline.DeadLetter{Consumer: "c", GPU: "g", Failures: []pipeline.GenerationFailure{{Class: class, Message: "the prompt exceeds the context"}}}
		if got := doubtful(letter); got != nil {
			t.Errorf("%s: %+v", class, got)
		}
	}
}

// A batch gets two opinions, each of a GPU that has not judged it. An operator's redrive allows two
// more.
func TestABatchGetsTwoOpinionsUntilARedrive(t *testing.T) {
	m := judged([]int{largeContext, largeContext, largeContext, largeContext}, hanging)
	r := m.engine(nil).Reconciler(testRun)
	judges := func() (n int) {
		for ; ; n++ {
			if m.opine(t, r).Given == 0 {
				return n
			}
			for _, g := range m.gpus {
				if g.mayJudge(m.work[0].body) {
					m.runOn(g)
					break
				}
			}
		}
	}
	if n := judges(); n != 2 || len(m.dead[0].Judged) != 3 || m.batches[0].Opinions != 2 {
		t.Fatalf("%d opinions: %s", n, m)
	}
	report, err := m.engine(nil).Redrive(t.Context(), Filter{Classes: []pipeline.Class{pipeline.Unanswered}}, RedriveOptions{})
	if err != nil || report.Redriven != 1 || m.batches[0].Opinions != 0 {
		t.Fatalf("%v, %+v: %s", err, report, m)
	}
	m.runOn(m.gpus[0])
	if n := judges(); n != 2 {
		t.Errorf("%d opinions after a redrive: %s", n, m)
	}
}

// The worker's ack follows its letter, so a refused message is tried again for a lease.
func TestARefusedSecondOpinionIsPublishedAfterTheAck(t *testing.T) {
	for name, c := range map[string]struct {
		after time.Duration
		want  bool
	}{"within a lease": {testLease, true}, "after it": {2 * testLease, false}} {
		m := judged([]int{smallContext, largeContext}, large)
		m.work[0] = m.acked[0] // its worker is between its letter and its ack
		r := m.engine(nil).Reconciler(testRun)
		if report := m.opine(t, r); report.Given != 1 || m.batches[0].Round != 2 || len(m.dead) != 1 {
			t.Fatalf("%+v, %s", report, m)
		}
		for waited := time.Duration(0); waited < c.after; waited += testLease / 2 {
			m.now = m.now.Add(testLease / 2)
			m.opine(t, r)
		}
		delete(m.work, 0)
		m.opine(t, r)
		work, there := m.work[0]
		if there != c.want || there && (work.body.Round != 2 || len(m.dead) > 0) {
			t.Errorf("%s: %s", name, m)
		}
	}
}

// The process dies before or right after each of its calls, or a call fails and it lives. Another
// one, or the same, comes to the end all the same, and no opinion is counted twice.
func TestAFollowerMayBeKilledBetweenAnyTwoStepsOfASecondOpinion(t *testing.T) {
	for _, how := range []fate{die, loseReply, refuse, loseAnswer} {
		for n, failed := 0, true; failed; n++ {
			m := judged([]int{smallContext, largeContext}, large)
			calls, mended := 0, false
			decide := func() fate {
				calls++
				switch {
				case mended:
					return proceed
				case calls-1 == n:
					return how
				case calls-1 < n || how == refuse || how == loseAnswer:
					return proceed
				}
				return die
			}
			r := m.engine(decide).Reconciler(testRun)
			_, err := r.Opine(t.Context())
			failed, mended = err != nil, true
			if how == die || how == loseReply {
				r = m.engine(nil).Reconciler(testRun)
			}
			for looks := 0; len(m.texts) == 0; looks++ {
				if looks > 30 || looks > 1 && (how == refuse || how == loseAnswer) {
					t.Fatalf("%d at call %d: it does not go on: %s", how, n, m)
				}
				m.opine(t, r)
				if _, err := r.Pass(t.Context()); err != nil {
					t.Fatal(err)
				}
				m.now = m.now.Add(testLease)
				if len(m.work) > 0 {
					m.runOn(m.gpus[1])
				}
			}
			if b := m.batches[0]; b.State != pipeline.Done || b.Opinions > 1 || m.executed != 1 {
				t.Fatalf("%d at call %d: %d generated: %s", how, n, m.executed, m)
			}
		}
	}
}

// A batch of which an answer was refused gets its next round as soon as nothing of it is under way.
func TestABatchWithARefusedAnswerGetsItsNextRound(t *testing.T) {
	m := judged([]int{largeContext}, easy)
	m.batches[0].State, m.batches[0].Done = pipeline.Queued, nil
	clear(m.texts)
	m.batches[0].Refused = 1
	r := m.engine(nil).Reconciler(testRun)
	m.work[0] = m.acked[0]
	if report := m.opine(t, r); report.Again != 0 {
		t.Errorf("while it is on the queue: %+v", report)
	}
	delete(m.work, 0)
	if report := m.opine(t, r); report.Again != 1 || m.work[0].body.Round != 2 {
		t.Errorf("%+v, %s", report, m)
	}
	rounds := 0
	for began := m.now; m.now.Before(began.Add(10 * testLease)); m.now = m.now.Add(testLease / 2) { // each answer is refused
		if _, there := m.work[0]; there {
			rounds++
			delete(m.work, 0)
			m.batches[0].Refused = m.batches[0].Round
		}
		m.opine(t, r)
	}
	if rounds < 3 || rounds > 6 {
		t.Errorf("%d rounds in ten leases", rounds)
	}
	known := func(when string, want int) {
		t.Helper()
		if _, err := r.Pass(t.Context()); err != nil || len(r.refusals.known) != want {
			t.Errorf("%s %d refusals are known, want %d, %v", when, len(r.refusals.known), want, err)
		}
	}
	known("while it is queued", 1)
	m.batches[0].State, m.batches[0].Done = pipeline.Done, []int{0}
	known("after its end", 0)
}

// A look asks for little: the letter of a batch once, and who is present only if that may matter.
func TestALookCostsLittle(t *testing.T) {
	m := judged([]int{largeContext}, hanging)
	calls := map[string]int{}
	l := m.engine(nil)
	v := counting{view{m.world, func() fate { return proceed }}, calls}
	l.streams = v
	r := l.Reconciler(testRun)
	m.opine(t, r)
	m.now = m.now.Add(2 * gathering)
	for range 100 {
		m.opine(t, r)
		m.now = m.now.Add(testLease / 10)
	}
	if diff := cmp.Diff(map[string]int{"DeadLetter": 1, "Consumers": 2, "ReportRun": 1}, calls); diff != "" {
		t.Errorf("in 101 looks (-want +got):\n%s", diff)
	}
	if left, err := l.Unsettled(t.Context(), testRun); err != nil || left != 0 {
		t.Errorf("%d, %v", left, err)
	}
	if m.lanes != 1 || m.awaiting != 0 {
		t.Errorf("reported: %d GPUs, %d generations", m.lanes, m.awaiting)
	}
}

// Who is alone acts otherwise, so a second GPU is named at once; that there are some more or less
// is told now and then.
func TestTheNumberOfGPUsIsToldSoonAndNotTooOften(t *testing.T) {
	m := judged([]int{largeContext, largeContext, largeContext}, easy)
	for _, g := range m.gpus[1:] {
		g.reported.Run = "another"
	}
	r := m.engine(nil).Reconciler(testRun)
	m.opine(t, r)
	for _, c := range []struct {
		after time.Duration
		comes *gpu
		want  int
	}{{time.Second, m.gpus[1], 2}, {time.Second, m.gpus[2], 2}, {tellLanesEvery, nil, 3}} {
		if c.comes != nil {
			c.comes.report()
		}
		m.now = m.now.Add(c.after)
		if m.opine(t, r); m.lanes != c.want {
			t.Errorf("%d GPUs were told, want %d", m.lanes, c.want)
		}
	}
}

// A counting view counts some of the calls.
type counting struct {
	view
	calls map[string]int
}

func (c counting) DeadLetter(ctx context.Context, run string, index int) (pipeline.StoredDeadLetter, bool, error) {
	c.calls["DeadLetter"]++
	return c.view.DeadLetter(ctx, run, index)
}

func (c counting) Consumers(ctx context.Context) ([]pipeline.Presence, error) {
	c.calls["Consumers"]++
	return c.view.Consumers(ctx)
}

func (c counting) ReportRun(ctx context.Context, run pipeline.Run, lanes, awaitOpinion int) error {
	c.calls["ReportRun"]++
	return c.view.ReportRun(ctx, run, lanes, awaitOpinion)
}

// A run is not at its end while a verdict waits for another GPU, or another round has just begun.
func TestARunIsUnsettledWhileAVerdictWaits(t *testing.T) {
	m := judged([]int{largeContext, largeContext}, endless)
	l := m.engine(nil)
	unsettled := func(want int, when string) {
		t.Helper()
		if left, err := l.Unsettled(t.Context(), testRun); err != nil || left != want {
			t.Errorf("%s: %d are unsettled, want %d, %v", when, left, want, err)
		}
	}
	unsettled(1, "while its judge may prove that it works")
	if m.awaiting != 1 {
		t.Errorf("%d were reported", m.awaiting)
	}
	m.gpus[0].report()
	unsettled(1, "as another round begins")
	unsettled(1, "while it is on the queue")
	m.runOn(m.gpus[1])
	unsettled(0, "when all have judged it")
	if m.awaiting != 0 {
		t.Errorf("%d were reported at the end", m.awaiting)
	}
}
