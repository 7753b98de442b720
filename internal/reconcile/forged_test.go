package reconcile

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"gleaner/internal/pipeline"
)

// ---- The tokens, and those who have none.

const forgery = "forged"

// admits is the rule of sink and mirror, in other words than theirs.
func (w *world) admits(token pipeline.Token, batch, round int) bool {
	return w.run.Key == nil || string(token) == string(w.run.Key.Token(testUID, batch, round))
}

// markRefused is what a sink does for an answer that it refuses.
func (w *world) markRefused(batch, round int) {
	if b := w.batch(testRun, batch); b != nil && b.Round == round && (b.State == pipeline.Queued || b.State == pipeline.Planned) {
		b.Refused = round
	}
}

// A presence is when a consumer came that is too old, and when an answer of each batch was found to
// be refused.
type presence struct {
	steps, since int
	refused      map[int]refusedAt // by batch
}

type refusedAt struct{ round, step int }

// forgeStep lets a consumer that was not handed a batch answer it, or write its dead letter:
// without a token, with one that it was given for another round or batch, or with one that it made
// up.
func (m *machine) forgeStep(rt *rapid.T) {
	_, b := pick(rt, m.batches, "batch")
	round := max(1, b.Round+rapid.IntRange(-1, 1).Draw(rt, "from round"))
	var token pipeline.Token
	switch rapid.SampledFrom([]string{"none", "made up", "round", "batch"}).Draw(rt, "token") {
	case "made up":
		token = pipeline.Token("0123456789abcdef")
	case "round":
		token = m.run.Key.Token(testUID, b.Index, round+1)
	case "batch":
		token = m.run.Key.Token(testUID, b.Index+1, round)
	}
	index := rapid.IntRange(0, b.Count-1).Draw(rt, "generation")
	if rapid.Bool().Draw(rt, "answer") {
		m.seq++
		m.results = append(m.results, message[pipeline.Results]{m.seq, pipeline.Results{
			Run: testRun, UID: testUID, Batch: b.Index, Round: round, Token: token,
			Results: []pipeline.Result{{Index: index, Item: b.First + index, Text: forgery, Finish: "stop"}},
		}})
		return
	}
	letter := pipeline.DeadLetter{
		Run: testRun, UID: testUID, Batch: b.Index, Round: round, Token: token, Class: pipeline.BadItem, Message: forgery,
		Options: m.run.Spec.Options, FailedAt: m.now, Consumer: "forger",
	}
	for _, i := range b.Missing() {
		letter.Failures = append(letter.Failures, pipeline.GenerationFailure{
			Generation: pipeline.Generation{Index: i, Item: b.First + i, Messages: pipeline.User("p")}, Class: pipeline.BadItem, Message: forgery,
		})
	}
	if len(letter.Failures) > 0 {
		m.deadLetter(letter)
	}
}

// tooOldStep lets a consumer come, or leave, that does not bring tokens back.
func (m *machine) tooOldStep(*rapid.T) {
	m.tooOld = !m.tooOld
	m.present.since = m.present.steps
}

// checkForged is what holds of tokens: what was forged is neither stored nor counted as a failure.
func (m *machine) checkForged(rt *rapid.T) {
	m.present.steps++
	for n, text := range m.texts {
		if strings.HasPrefix(text, forgery) {
			rt.Fatalf("a forged answer of generation %d is stored: %s", n, m)
		}
	}
	for _, b := range m.batches {
		for _, i := range b.Failed {
			if !m.failedTruly[failure{b.Index, b.Round, i}] {
				rt.Fatalf("generation %d of batch %d has not failed in round %d: %s", i, b.Index, b.Round, m)
			}
		}
		if b.Refused == b.Round && m.present.refused[b.Index].round != b.Round {
			if m.present.refused == nil {
				m.present.refused = map[int]refusedAt{}
			}
			m.present.refused[b.Index] = refusedAt{b.Round, m.present.steps}
		}
	}
}

// checkPatience is called before a batch gets another round. One of which answers were refused more
// than once waits while a consumer is present whose answers are refused.
func (m *machine) checkPatience(b, seen pipeline.Batch) {
	at := m.present.refused[b.Index]
	if b.State != pipeline.Queued || seen.Refused != b.Round || b.Round < 2 || at.round != b.Round {
		return
	}
	if m.tooOld && m.present.since < at.step {
		m.impatient = fmt.Sprintf("another round of batch %d while a consumer is present that is too old: %s", b.Index, m)
	}
}

// A failure is a generation that a worker with a token reported as failed.
type failure struct{ batch, round, index int }

// noteFailed notes what a worker reports, before it is on any stream.
func (w *world) noteFailed(d pipeline.DeadLetter) {
	if !w.admits(d.Token, d.Batch, d.Round) {
		return
	}
	for _, i := range d.Failed() {
		w.failedTruly[failure{d.Batch, d.Round, i}] = true
	}
}

// The first round after a refused answer begins at once, and the next ones wait for the consumers
// whose answers are always refused: neither the looks nor the search for lost batches starts them.
func TestABatchThatIsRefusedAgainWaitsWhileAConsumerIsPresentThatIsTooOld(t *testing.T) {
	w := newWorld(1)
	w.run.Key = pipeline.NewKey()
	w.batches[0].State, w.batches[0].Refused = pipeline.Queued, 1
	w.tooOld = true
	r := w.engine(nil).Reconciler(testRun)
	pass := func() {
		t.Helper()
		w.now = w.now.Add(testLease)
		if _, err := r.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Opine(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	pass()
	if w.batches[0].Round != 2 || string(w.work[0].body.Token) != string(w.run.Key.Token(testUID, 0, 2)) {
		t.Fatalf("the first refused answer gives no other round with its token: %s", w)
	}
	clear(w.work)
	w.markRefused(0, 2)
	for range 40 {
		pass()
	}
	if w.batches[0].Round != 2 || len(w.work) != 0 {
		t.Fatalf("it does not wait: %s", w)
	}
	r = w.engine(nil).Reconciler(testRun) // another process
	pass()
	if w.batches[0].Round != 2 {
		t.Fatalf("another process does not wait: %s", w)
	}
	w.tooOld = false
	pass()
	if w.batches[0].Round != 3 || len(w.work) != 1 {
		t.Fatalf("it still waits when the consumer has left: %s", w)
	}
}

// A letter without its token neither explains a batch nor shows a token to people.
func TestALetterWithoutItsTokenExplainsNothing(t *testing.T) {
	w := newWorld(1, 1)
	w.run.Key = pipeline.NewKey()
	for i := range w.batches {
		letter := pipeline.DeadLetter{
			Run: testRun, UID: testUID, Batch: i, Round: 1, Class: pipeline.BadItem, Message: "boom", FailedAt: w.now, Consumer: "c",
			Failures: []pipeline.GenerationFailure{{Generation: pipeline.Generation{Item: i}, Class: pipeline.BadItem}},
		}
		if i == 0 {
			letter.Token = w.run.Key.Token(testUID, 0, 1)
		}
		w.batches[i].State = pipeline.Queued
		w.deadLetter(letter)
	}
	var got []string
	for letter, err := range w.engine(nil).Letters(t.Context(), Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(letter.Batch, " ", letter.Disposition, " ", len(letter.Token)))
	}
	if want := []string{"0 under-way 0", "1 refused 0"}; !slices.Equal(got, want) {
		t.Errorf("letters are %q, want %q", got, want)
	}
	r := w.engine(nil).Reconciler(testRun)
	for range 7 {
		if _, err := r.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.now = w.now.Add(testLease)
	}
	if w.batches[0].State != pipeline.Dead || w.batches[1].State != pipeline.Queued || w.batches[1].Round != 2 {
		t.Errorf("the letters explain: %s", w)
	}
}
