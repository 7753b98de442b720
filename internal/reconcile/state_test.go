package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gleaner/internal/pipeline"
)

// The rules of a batch's life, as a state machine over the real engine. Each of its calls to the
// store and to the streams is one step. Between two steps any other process may do something,
// anything may be lost, and the engine's process may die. Whatever happens, a stored text never
// changes, and once the faults stop every generation is stored, dropped or under a dead letter.
func TestNothingIsLostAndNothingChangesWhateverHappens(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newMachine(rt, false)
		defer m.killAll()
		rt.Repeat(m.actions())
		m.killAll()
		m.recover(rt)
		m.redriveAll(rt)
	})
}

// Without losses and without workers that continue after their lease, another round would be a
// waste: a reconciler never gives one to a batch that can still be found somewhere.
func TestABatchThatIsSomewhereIsNotRepaired(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newMachine(rt, true)
		defer m.killAll()
		rt.Repeat(m.actions())
		m.killAll()
		m.recover(rt)
	})
}

// A machine is a world in which things happen, and what must hold there.
type machine struct {
	*world
	tokens     []*token
	holdings   []*holding
	actors     []*actor
	reconciler [2]*RunReconciler // processes that are alive
	passing    [2]*actor         // the pass that a reconciler is making, or nil
	drops      bool              // whether the operator drops batches
	seen       map[int]string    // texts, as first seen
	done       []int             // generations known to be stored, by batch
	calm       bool              // nothing is lost, and no worker goes on after its lease
	needless   string            // what got another round although it was somewhere
	unasked    string            // a second opinion that should not have been given
	canaries   bool              // whether GPUs without work show that they are sound
	present    presence          // of consumers that are too old
	shrunk     bool              // the server's limit of a message changed
	impatient  string            // what got another round although one of them was present
}

// A token is a publisher with a batch that it has read.
type token struct {
	batch     pipeline.Batch
	published bool
	large     *pipeline.Work // the message is too large for the server
	marked    bool
	told      bool // of the rows that have no room in any
}

func newMachine(rt *rapid.T, calm bool) *machine {
	m := &machine{world: newWorld(rapid.SliceOfN(rapid.IntRange(1, 3), 1, 2).Draw(rt, "sizes")...), seen: map[int]string{}, calm: calm}
	m.done = make([]int, len(m.batches))
	for n := range m.run.Generations {
		if rapid.IntRange(0, 3).Draw(rt, "fails for good") == 0 {
			m.fails[n] = true
		}
	}
	m.makeFleet(rt)
	if rapid.IntRange(0, 2).Draw(rt, "no key") > 0 {
		m.run.Key = pipeline.Key("a secret")
	}
	m.listFrom = rapid.IntRange(1, 2).Draw(rt, "list from")
	m.drops = rapid.IntRange(0, 4).Draw(rt, "drops") == 0
	m.requeued = func(b, seen pipeline.Batch) {
		m.checkPatience(b, seen)
		if m.calm && b.State == pipeline.Queued && !m.lost(b) { // only a reconciler takes a queued one
			m.needless = fmt.Sprintf("batch %d: %s", b.Index, m)
		}
	}
	m.opinion = m.checkOpinion
	return m
}

func (m *machine) actions() map[string]func(*rapid.T) {
	actions := map[string]func(*rapid.T){
		"":                m.check,
		"producer":        m.producerStep,
		"take":            m.takeStep,
		"work":            m.workStep,
		"work on":         m.workStep,
		"worker dies":     m.workerDies,
		"sink":            m.sinkStep,
		"mirror":          m.mirrorStep,
		"clock":           m.clockStep,
		"reconcile":       m.reconcileStep,
		"reconcile all":   m.reconcileAll,
		"redrive or drop": m.operatorStep,
		"actor":           m.actorStep,
		"actor goes on":   m.actorStep,
		"actor dies":      m.actorDies,
		"look":            m.lookStep,
		"clear":           m.clearStep,
		"look all":        m.lookAll,
		"actor fails":     m.actorFails,
		"gpu":             m.gpuStep,
		"refuse":          m.refuseStep,
		"loss":            m.lossStep,
		"forge":           m.forgeStep,
		"forge again":     m.forgeStep,
		"too old":         m.tooOldStep,
		"audit":           m.auditStep,
		"queue":           m.roomStep,
	}
	if m.calm {
		delete(actions, "loss")
		delete(actions, "refuse")
	}
	if m.calm || m.run.Key == nil {
		delete(actions, "forge")
		delete(actions, "forge again")
		delete(actions, "too old")
	}
	return actions
}

func pick[T any](rt *rapid.T, from []T, label string) (int, T) {
	if len(from) == 0 {
		rt.Skip("none")
	}
	i := rapid.IntRange(0, len(from)-1).Draw(rt, label)
	return i, from[i]
}

// ---- Everything but the engine.

func (m *machine) producerStep(rt *rapid.T) {
	if len(m.tokens) == 0 || len(m.tokens) < 2 && !m.calm && rapid.Bool().Draw(rt, "another") {
		_, b := pick(rt, m.batches, "batch")
		if b.State != pipeline.Planned {
			rt.Skip("not planned")
		}
		m.tokens = append(m.tokens, &token{batch: copyOf(b)})
		return
	}
	i, t := pick(rt, m.tokens, "publisher")
	switch {
	case rapid.IntRange(0, 9).Draw(rt, "dies") == 0:
		m.tokens = slices.Delete(m.tokens, i, i+1)
	case !t.published:
		m.publishStep(t)
	default:
		m.mark(t.batch.Index)
		m.tokens = slices.Delete(m.tokens, i, i+1)
	}
}

// publishStep makes the next step to the message of a batch that is planned. If it is too large for
// the server the batch is marked first, then rows without room in any message get a letter, and
// then the rest goes out.
func (m *machine) publishStep(t *token) {
	if t.large == nil {
		works, _ := maker{m.run}.Build(context.Background(), []pipeline.Batch{t.batch})
		err := m.publish(works[0])
		if errors.As(err, new(*pipeline.SizeError)) {
			t.large = &works[0]
			return
		}
		t.published = err != pipeline.ErrFull
		return
	}
	fits, _ := m.fit(*t.large)
	letter, found := fits.Unsent(*t.large, m.now)
	switch {
	case !t.marked:
		m.mark(t.batch.Index)
		t.marked = true
	case found && !t.told:
		m.noteUnsent(letter)
		m.deadLetter(letter)
		t.told = true
	case len(fits.Generations) == 0:
		t.published = true
	default:
		t.published = m.publish(fits) != pipeline.ErrFull
	}
}

func (m *machine) mark(index int) {
	if b := &m.batches[index]; b.State == pipeline.Planned {
		b.State, b.QueuedAt = pipeline.Queued, m.now
		b.State = b.Settle()
	}
}

func (m *machine) takeStep(rt *rapid.T) {
	if len(m.holdings) > 2 {
		rt.Skip("enough workers")
	}
	_, index := pick(rt, m.onQueue(), "message")
	if m.calm && slices.ContainsFunc(m.holdings, func(h *holding) bool { return h.body.Batch == index }) {
		rt.Skip("somebody has it")
	}
	failNow := map[int]bool{}
	for _, g := range m.work[index].body.Generations {
		if rapid.IntRange(0, 3).Draw(rt, "fails now") == 0 {
			failNow[m.batches[index].First+g.Index] = true
		}
	}
	m.holdings = append(m.holdings, m.takeOn(m.anyGPU(rt, index), index, failNow))
}

func (m *machine) workStep(rt *rapid.T) {
	i, h := pick(rt, m.holdings, "worker")
	if m.step(h) {
		m.holdings = slices.Delete(m.holdings, i, i+1)
	}
}

func (m *machine) workerDies(rt *rapid.T) {
	i, _ := pick(rt, m.holdings, "worker")
	m.holdings = slices.Delete(m.holdings, i, i+1)
}

func (m *machine) sinkStep(rt *rapid.T) {
	i, _ := pick(rt, m.results, "result")
	m.sink(i, rapid.IntRange(0, 3).Draw(rt, "dies before its ack") > 0)
}

func (m *machine) mirrorStep(rt *rapid.T) {
	i, _ := pick(rt, m.mirror, "record")
	m.applyMirror(i, rapid.IntRange(0, 3).Draw(rt, "dies before its ack") > 0)
}

func (m *machine) clockStep(rt *rapid.T) {
	m.mayPass(rt)
	m.now = m.now.Add(time.Duration(rapid.IntRange(1, 8).Draw(rt, "half leases")) * testLease / 2)
}

func (m *machine) roomStep(rt *rapid.T) {
	m.room = rapid.SampledFrom([]int{0, 1, 1 << 20, 1 << 20}).Draw(rt, "room")
	if len(m.sizes) > 0 && rapid.IntRange(0, 3).Draw(rt, "reload") == 0 { // the server's configuration
		largest := rapid.IntRange(1, 5).Draw(rt, "largest")
		m.shrunk = m.shrunk || largest != m.largest
		m.largest = largest
	}
}

// lossStep makes one of the losses that a broker is capable of.
func (m *machine) lossStep(rt *rapid.T) {
	switch rapid.SampledFrom([]string{"work", "a result", "results", "a record", "damage", "dead", "everything", "mirror forgets", "mirror repeats", "restored"}).Draw(rt, "loss") {
	case "work":
		clear(m.work)
	case "a result":
		i, _ := pick(rt, m.results, "result")
		m.results = slices.Delete(m.results, i, i+1)
	case "results":
		m.results = nil
	case "a record":
		_, index := pick(rt, slices.Sorted(maps.Keys(m.dead)), "record")
		m.deleteDeadLetter(m.dead[index].Sequence)
	case "damage":
		_, index := pick(rt, slices.Sorted(maps.Keys(m.dead)), "record")
		d := m.dead[index]
		m.deleteDeadLetter(d.Sequence)
		d.DeadLetter = pipeline.DeadLetter{Run: testRun, Batch: index}
		m.dead[index] = d
	case "dead":
		m.loseDead()
	case "everything":
		clear(m.work)
		m.results = nil
		m.loseDead()
	case "restored": // a message that was acknowledged comes back
		_, back := pick(rt, m.acked, "message")
		if _, there := m.work[back.body.Batch]; !there {
			m.work[back.body.Batch] = back
			m.stray[back.seq] = rapid.Bool().Draw(rt, "and is not handed out again")
		}
	case "mirror forgets": // its position is ahead of the stream
		m.mirror = nil
	case "mirror repeats":
		m.mirror = nil
		for _, index := range slices.Sorted(maps.Keys(m.dead)) {
			m.mirror = append(m.mirror, message[pipeline.StoredDeadLetter]{m.dead[index].Sequence, m.dead[index]})
		}
	}
}

func (m *machine) loseDead() {
	clear(m.dead)
	m.mirror, m.deadSeq = nil, 0
}
