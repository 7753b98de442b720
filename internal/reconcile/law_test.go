package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"gleaner/internal/pipeline"
)

// ---- What must hold.

// check is what holds at every moment.
func (m *machine) check(rt *rapid.T) {
	if m.needless != "" {
		rt.Fatal("another round for nothing of ", m.needless)
	}
	if m.uncovers != "" || m.unasked != "" || m.impatient != "" || m.unqueued != "" {
		rt.Fatal(m.uncovers, m.unasked, m.impatient, m.unqueued)
	}
	m.checkForged(rt)
	for n, text := range m.texts {
		if before, ok := m.seen[n]; ok && before != text {
			rt.Fatalf("the text of generation %d changed from %q to %q", n, before, text)
		}
		m.seen[n] = text
	}
	for i, b := range m.batches {
		if len(b.Done) < m.done[i] {
			rt.Fatalf("batch %d had %d generations done, now %d", i, m.done[i], len(b.Done))
		}
		m.done[i] = len(b.Done)
		if (b.State == pipeline.Done) != (len(b.Missing()) == 0) {
			rt.Fatalf("batch %d is %s with %v done of %d", i, b.State, b.Done, b.Count)
		}
	}
}

// explained is the law about dead letters in other words than the engine's.
func (m *machine) explained(b pipeline.Batch) bool {
	d, found := m.dead[b.Index]
	all := map[int]bool{}
	for _, i := range append(d.Failed(), b.Done...) {
		all[i] = true
	}
	return found && d.Round == b.Round && len(all) == b.Count && m.admits(d.Token, d.Batch, d.Round)
}

// lost reports whether a batch breaks the law of conservation.
func (m *machine) lost(b pipeline.Batch) bool {
	_, queued := m.work[b.Index]
	results := slices.ContainsFunc(m.results, func(r message[pipeline.Results]) bool { return r.body.Batch == b.Index })
	return (b.State == pipeline.Queued || b.State == pipeline.Dead) && !queued && !results && !m.explained(b)
}

// auditStep compares an audit with the truth, now and if the run were cancelled now.
func (m *machine) auditStep(rt *rapid.T) {
	m.audit(rt)
	gone := 0 // generations that are lost for good
	for _, b := range m.batches {
		if b.State == pipeline.Planned || m.lost(b) {
			gone += len(b.Missing())
		}
	}
	m.run.State = pipeline.RunCancelled
	defer func(now time.Time) { m.now, m.run.State = now, pipeline.RunOpen }(m.now)
	a, err := m.engine(nil).Audit(context.Background(), testRun)
	if err != nil || !a.Balanced() || a.Cancelled != gone || a.Stored != len(m.texts) {
		rt.Fatalf("cancelled, %d generations are nowhere: %v, %+v", gone, err, a)
	}
}

func (m *machine) audit(rt *rapid.T) Account {
	now := m.now
	a, err := m.engine(nil).Audit(context.Background(), testRun)
	m.now = now
	if err != nil {
		rt.Fatal(err)
	}
	if sum := a.Stored + a.Dead + a.Dropped + a.Outstanding + a.Lost; sum != m.run.Generations || a.Stored != len(m.texts) {
		rt.Fatalf("%d of %d generations, %d of %d stored: %+v", sum, m.run.Generations, a.Stored, len(m.texts), a)
	}
	var want, got []string
	for _, b := range m.batches {
		if m.lost(b) {
			want = append(want, b.ID())
		}
	}
	for _, b := range a.Broken {
		got = append(got, b.Batch)
	}
	if !slices.Equal(want, got) {
		rt.Fatalf("lost are %v, the audit says %v", want, got)
	}
	return a
}

// settle lets everything work without faults until nothing moves any more.
func (m *machine) settle(rt *rapid.T) {
	r := m.engine(nil).Reconciler(testRun)
	m.room = 1 << 20
	awaiting := 0
	for quiet, passes := 0, 0; quiet < 8; passes++ { // twice three leases see what is absent
		if passes > 60 {
			rt.Fatalf("nothing comes to an end: %s", m)
		}
		before := m.String()
		m.everybody()
		m.now = m.now.Add(testLease)
		if _, err := r.Pass(context.Background()); err != nil {
			rt.Fatal(err)
		}
		m.everybody()
		report, err := r.Opine(context.Background())
		if err != nil {
			rt.Fatal(err)
		}
		awaiting = report.Awaiting
		m.everybody()
		m.check(rt)
		quiet++
		if m.String() != before {
			quiet = 0
		}
	}
	if awaiting > 0 || m.awaiting > 0 {
		rt.Fatalf("%d generations wait for a second opinion for ever, %d were reported: %s", awaiting, m.awaiting, m)
	}
}

// everybody does all that is to be done outside the engine.
func (m *machine) everybody() {
	for i := range m.batches {
		if b := m.batches[i]; b.State == pipeline.Planned {
			for t := (&token{batch: b}); !t.published; {
				m.publishStep(t)
			}
			m.mark(i)
		}
	}
	for _, index := range m.onQueue() {
		for h := m.takeOn(m.judge(index), index, nil); !m.step(h); {
		}
	}
	for len(m.results) > 0 {
		m.sink(0, true)
	}
	for len(m.mirror) > 0 {
		m.applyMirror(0, true)
	}
	for _, g := range m.gpus {
		if m.canaries && !g.broken {
			g.proven = g.outcomes
		}
		g.report()
	}
}

// recover ends the faults. After it every generation is stored, dropped, or under a dead letter of
// its batch's round.
func (m *machine) recover(rt *rapid.T) {
	m.tokens, m.holdings, m.reconciler, m.tooOld = nil, nil, [2]*RunReconciler{}, false
	m.settle(rt)
	for _, b := range m.batches {
		_, found := m.dead[b.Index]
		switch {
		case b.State == pipeline.Done && !found, b.State == pipeline.Dropped && !found:
		case b.State == pipeline.Dead && m.explained(b):
			m.checkFinal(rt, b)
		default:
			rt.Fatalf("batch %d has not come to an end: %s", b.Index, m)
		}
	}
	if a := m.audit(rt); !a.Complete() || a.Leftover > 0 {
		rt.Fatalf("the audit does not agree: %+v", a)
	}
}

// redriveAll removes the reason for which generations fail. After a redrive everything is stored.
func (m *machine) redriveAll(rt *rapid.T) {
	clear(m.fails)
	clear(m.natures)
	m.largest = 1 << 20
	for _, g := range m.gpus {
		g.broken, g.serving = false, true
	}
	if _, err := m.engine(nil).Redrive(context.Background(), Filter{}, RedriveOptions{}); err != nil {
		rt.Fatal(err)
	}
	m.settle(rt)
	for _, b := range m.batches {
		_, found := m.dead[b.Index]
		if b.State != pipeline.Dropped && (b.State != pipeline.Done || found) {
			rt.Fatalf("batch %d is not done after a redrive: %s", b.Index, m)
		}
	}
}

// String shows where everything is.
func (w *world) String() string {
	var s string
	for _, b := range w.batches {
		s += fmt.Sprintf("\n  batch %d: %s, round %d, done %v, failed %v of %d, %d opinions, refused %d", b.Index, b.State, b.Round, b.Done, b.Failed, b.Count, b.Opinions, b.Refused)
		if m, ok := w.work[b.Index]; ok {
			s += fmt.Sprintf("; WORK round %d", m.body.Round)
			if w.stray[m.seq] {
				s += ", acknowledged"
			}
		}
		for _, m := range w.results {
			if m.body.Batch == b.Index {
				s += fmt.Sprintf("; RESULT %d", m.body.Results[0].Index)
			}
		}
		if d, ok := w.dead[b.Index]; ok {
			s += fmt.Sprintf("; DEAD round %d %v judged by %v", d.Round, d.Failed(), d.Judged)
			for _, f := range d.Failures {
				s += fmt.Sprintf(" (%d %s by %s, outcome %d)", f.Index, f.Class, f.Judge.Consumer, f.Outcome)
			}
		}
	}
	for _, g := range w.gpus {
		s += fmt.Sprintf("\n  %s: context %d, broken %v, serving %v, %d outcomes, proven %d", g.id.Consumer, g.context, g.broken, g.serving, g.outcomes, g.proven)
	}
	return s + fmt.Sprintf("\n  mirror has %d to do", len(w.mirror))
}
