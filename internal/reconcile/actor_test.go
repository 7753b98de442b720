package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"
)

// ---- The engine, step by step.

// An actor is a process that runs a part of the engine and waits before each of its calls.
type actor struct {
	name   string
	grant  chan fate
	asks   chan bool // true: it waits for a grant, false: it has ended
	killed bool
	ended  bool
}

// start runs do up to its first call.
func (m *machine) start(name string, do func(l *Engine)) *actor {
	a := &actor{name: name, grant: make(chan fate), asks: make(chan bool)}
	go func() {
		do(m.engine(a.decide))
		a.asks <- false
	}()
	a.wait()
	if !a.ended {
		m.actors = append(m.actors, a)
	}
	return a
}

// decide says what becomes of each call of the engine. It runs on the actor's goroutine.
func (a *actor) decide() fate {
	if a.killed {
		return die
	}
	a.asks <- true
	return <-a.grant
}

func (a *actor) wait() { a.ended = !<-a.asks }

// advance lets an actor make the call that it waits for, and waits until it has reached the next.
func (m *machine) advance(a *actor, v fate) {
	a.killed = v == die || v == loseReply
	a.grant <- v
	a.wait()
	if a.ended {
		m.actors = slices.DeleteFunc(m.actors, func(b *actor) bool { return a == b })
		for i, g := range m.passing {
			if g == a {
				m.passing[i] = nil
				if a.killed {
					m.reconciler[i] = nil // what it remembered is gone
				}
			}
		}
	}
}

func (m *machine) killAll() {
	for len(m.actors) > 0 {
		m.advance(m.actors[0], die)
	}
}

func (m *machine) reconcileStep(rt *rapid.T) {
	i := rapid.IntRange(0, 1).Draw(rt, "reconciler")
	if m.passing[i] != nil {
		rt.Skip("under way")
	}
	m.startPass(i)
}

func (m *machine) startPass(i int) *actor {
	return m.reconcilerDoes(i, func(r *RunReconciler) { _, _ = r.Pass(context.Background()) })
}

func (m *machine) startLook(i int) *actor {
	return m.reconcilerDoes(i, func(r *RunReconciler) { _, _ = r.Opine(context.Background()) })
}

func (m *machine) reconcilerDoes(i int, do func(*RunReconciler)) *actor {
	a := m.start(fmt.Sprint("reconciler ", i), func(l *Engine) {
		if m.reconciler[i] == nil {
			m.reconciler[i] = l.Reconciler(testRun)
		}
		r := m.reconciler[i]
		r.use(l) // the same process, decided by another actor
		do(r)
	})
	m.passing[i] = a
	if a.ended {
		m.passing[i] = nil
	}
	return a
}

func (m *machine) clearStep(rt *rapid.T) {
	i := rapid.IntRange(0, 1).Draw(rt, "reconciler")
	if m.passing[i] != nil {
		rt.Skip("under way")
	}
	m.reconcilerDoes(i, func(r *RunReconciler) { _ = r.Clear(context.Background()) })
}

// use lets a reconciler go on with another engine.
func (r *RunReconciler) use(e *Engine) {
	r.Engine, r.rounds.Engine, r.opinions.present.Engine, r.tidier.Engine = e, e, e, e
}

func (m *machine) lookStep(rt *rapid.T) {
	i := rapid.IntRange(0, 1).Draw(rt, "reconciler")
	if m.passing[i] != nil {
		rt.Skip("under way")
	}
	m.startLook(i)
}

// lookAll makes a whole look at the verdicts without disturbance, some time after the last step.
func (m *machine) lookAll(rt *rapid.T) {
	m.mayPass(rt)
	i := rapid.IntRange(0, 1).Draw(rt, "reconciler")
	m.now = m.now.Add(time.Duration(rapid.IntRange(0, 4).Draw(rt, "quarter leases")) * testLease / 4)
	a := m.passing[i]
	if a == nil {
		a = m.startLook(i)
	}
	for !a.ended {
		m.advance(a, proceed)
	}
}

// mayPass stops the clock of a calm world while an operator is between two steps.
func (m *machine) mayPass(rt *rapid.T) {
	if m.calm && slices.ContainsFunc(m.actors, func(a *actor) bool { return a != m.passing[0] && a != m.passing[1] }) {
		rt.Skip("an operator is at work")
	}
	if m.calm && slices.ContainsFunc(m.tokens, func(t *token) bool { return t.marked }) {
		rt.Skip("a producer is at work")
	}
}

// reconcileAll makes a whole pass without disturbance, three leases after the last step.
func (m *machine) reconcileAll(rt *rapid.T) {
	m.mayPass(rt)
	i := rapid.IntRange(0, 1).Draw(rt, "reconciler")
	m.now = m.now.Add(3 * testLease)
	a := m.passing[i]
	if a == nil {
		a = m.startPass(i)
	}
	for !a.ended {
		m.advance(a, proceed)
	}
}

func (m *machine) operatorStep(rt *rapid.T) {
	if len(m.actors) > 3 {
		rt.Skip("enough operators")
	}
	if m.drops && rapid.IntRange(0, 2).Draw(rt, "give up") == 0 {
		m.start("give up", func(l *Engine) { _, _ = l.GiveUp(context.Background(), testRun, GiveUpOptions{}) })
		return
	}
	if len(m.dead) == 0 {
		rt.Skip("nothing to do")
	}
	if m.drops && rapid.Bool().Draw(rt, "drop") {
		m.start("drop", func(l *Engine) { _, _ = l.Drop(context.Background(), Filter{Run: testRun}, DropOptions{Limit: 1}) })
		return
	}
	m.start("redrive", func(l *Engine) { _, _ = l.Redrive(context.Background(), Filter{}, RedriveOptions{}) })
}

func (m *machine) actorStep(rt *rapid.T) {
	_, a := pick(rt, m.actors, "actor")
	for range rapid.IntRange(1, 6).Draw(rt, "steps") {
		if !a.ended {
			m.advance(a, proceed)
		}
	}
}

// actorFails lets a call of an actor fail that lives on: it had no effect, or its answer is lost.
func (m *machine) actorFails(rt *rapid.T) {
	_, a := pick(rt, m.actors, "actor")
	m.advance(a, rapid.SampledFrom([]fate{refuse, loseAnswer}).Draw(rt, "how"))
}

func (m *machine) actorDies(rt *rapid.T) {
	_, a := pick(rt, m.actors, "actor")
	m.advance(a, rapid.SampledFrom([]fate{die, loseReply}).Draw(rt, "how"))
}
