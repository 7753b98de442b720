package sink

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"pgregory.net/rapid"

	"gleaner/internal/ownership"
	"gleaner/internal/pipeline"
)

// Two stores and their programs on one NATS account, as a state machine over the real guard and the
// real sink. Between any two of their calls to the streams another program may do something: a
// publisher makes streams, the server loses its disk, a person takes the streams over, a program
// of an earlier version makes streams that do not say whose they are. Whatever happens, no sink
// removes a result that the other store knows and its own does not. Two stores do not share streams
// of an earlier version, which are the first one's that writes its id.
func TestNoSinkRemovesWhatAnotherStoreKnows(t *testing.T) {
	rapid.Check(t, accountLife)
}

func accountLife(rt *rapid.T) {
	a := newAccount(rt)
	rt.Repeat(map[string]func(*rapid.T){
		"":           func(*rapid.T) {},
		"publisher":  a.publisherStep,
		"earlier":    a.earlierStep,
		"result":     a.resultStep,
		"sink":       a.sinkStep,
		"sink again": a.sinkStep,
		"empty disk": func(*rapid.T) { a.loseDisk() },
		"restart":    a.restartStep,
		"take over":  a.takeOverStep,
		"reconnect":  func(*rapid.T) { a.connections++ },
	})
}

// An account is the streams and the two stores that use them.
type account struct {
	rt          *rapid.T
	owner       *pipeline.StoreIdentity // of the streams; nil: there are none
	runs        map[string]string       // on the queue: name → uid
	results     []*accountResult
	connections uint64
	busy        bool // something happens between two calls
	sides       [2]*side
}

type accountResult struct {
	uid        string
	deliveries int
}

// A side is a store with its programs.
type side struct {
	account         *account
	id              pipeline.StoreIdentity
	uid             string // of its only run
	sink, publisher *ownership.Guard
	owns            *pipeline.StoreIdentity // as its connection was told
}

func newAccount(rt *rapid.T) *account {
	a := &account{rt: rt, runs: map[string]string{}}
	for i, name := range []string{"anna", "ben"} {
		s := &side{account: a, uid: "uid-" + name}
		s.id = pipeline.StoreIdentity{ID: rapid.SampledFrom([]string{"", "id-" + name}).Draw(rt, "id"), Name: name}
		a.sides[i] = s
		s.restart()
	}
	return a
}

func (s *side) restart() {
	s.sink = ownership.New(ownership.Sink, s, s, zap.NewNop())
	s.publisher = ownership.New(ownership.Publisher, s, s, zap.NewNop())
}

func (a *account) side(rt *rapid.T) *side { return a.sides[rapid.IntRange(0, 1).Draw(rt, "side")] }

// meanwhile lets another program do something between two calls of one.
func (a *account) meanwhile() {
	if a.busy {
		return
	}
	a.busy = true
	defer func() { a.busy = false }()
	switch rapid.IntRange(0, 9).Draw(a.rt, "meanwhile") {
	case 0:
		a.loseDisk()
	case 1:
		a.publisherStep(a.rt)
	case 2:
		a.takeOverStep(a.rt)
	}
}

func (a *account) loseDisk() {
	a.owner, a.results = nil, nil
	clear(a.runs)
	a.connections++
}

// publisherStep puts the run of a store on the queue, if its guard allows it.
func (a *account) publisherStep(rt *rapid.T) {
	s := a.side(rt)
	guard := s.publisher
	if a.busy { // that one may be in the middle of a call: this is a further process
		guard = ownership.New(ownership.Publisher, s, s, zap.NewNop())
	}
	if guard.Confirm(context.Background()) != nil {
		return
	}
	if a.owner == nil {
		a.owner = &pipeline.StoreIdentity{ID: s.owns.ID, Name: s.owns.Name}
	}
	if a.owner.ID == s.owns.ID { // as the streams check when a run is ensured
		a.runs[s.id.Name] = s.uid
	}
}

// earlierStep does what a publisher of an earlier version does, of the only store that uses the
// streams.
func (a *account) earlierStep(rt *rapid.T) {
	if a.owner == nil {
		a.owner = &pipeline.StoreIdentity{}
	}
	if s := a.side(rt); a.owner.ID == "" && (len(a.runs) == 0 || a.runs[s.id.Name] != "") {
		a.runs[s.id.Name] = s.uid
	}
}

// resultStep lets a consumer finish a batch of a run that is on the queue.
func (a *account) resultStep(rt *rapid.T) {
	if len(a.runs) == 0 || len(a.results) > 3 {
		rt.Skip("no work")
	}
	name := rapid.SampledFrom(slices.Sorted(maps.Keys(a.runs))).Draw(rt, "run")
	a.results = append(a.results, &accountResult{uid: a.runs[name]})
}

func (a *account) restartStep(rt *rapid.T) { a.side(rt).restart() }

func (a *account) takeOverStep(rt *rapid.T) {
	s := a.side(rt)
	_, _ = ownership.New(ownership.Publisher, s, s, zap.NewNop()).TakeOver(context.Background(), true)
}

// sinkStep lets a sink take one result and do what it does with it.
func (a *account) sinkStep(rt *rapid.T) {
	s := a.side(rt)
	waiting, cancel := context.WithTimeout(context.Background(), 2*time.Millisecond) // one that has to wait takes nothing
	defer cancel()
	if s.sink.Confirm(waiting) != nil || len(a.results) == 0 {
		return
	}
	m := rapid.SampledFrom(a.results).Draw(rt, "result")
	m.deliveries++
	receipt := &accountReceipt{side: s, message: m}
	engine, err := New(Config{Compare: s.sink.Compare}, newWorld(nil), s)
	if err != nil {
		rt.Fatal(err)
	}
	engine.dismiss(context.Background(), engine.rejected, engine.refusalsOf(rt, pipeline.Delivery[pipeline.Results]{
		Body: pipeline.Results{Run: "r", UID: m.uid}, Deliveries: m.deliveries, Receipt: receipt,
	}))
}

// refusalsOf returns the delivery if the sink does not store it.
func (s *Sink) refusalsOf(rt *rapid.T, d delivery) []rejection {
	found, err := s.check.split(context.Background(), []delivery{d})
	if err != nil {
		rt.Fatal(err)
	}
	return found.bad
}

type accountReceipt struct {
	side    *side
	message *accountResult
}

func (r *accountReceipt) Ack(context.Context) error                     { return nil }
func (r *accountReceipt) Extend(context.Context) error                  { return nil }
func (r *accountReceipt) HandBack(context.Context, time.Duration) error { return nil }

func (r *accountReceipt) Reject(context.Context, string) error {
	a := r.side.account
	at := slices.Index(a.results, r.message)
	if at < 0 {
		return nil
	}
	for _, other := range a.sides {
		if other != r.side && other.uid == r.message.uid {
			a.rt.Fatalf("the sink of %s removes a result of %s; the streams are of %+v", r.side.id.Name, other.id.Name, a.owner)
		}
	}
	a.results = slices.Delete(a.results, at, at+1)
	return nil
}

// ---- The store and the streams, as the programs of one side see them.

func (s *side) Identity(context.Context) (pipeline.StoreIdentity, error) { return s.id, nil }

func (s *side) MakeIdentity(context.Context) (pipeline.StoreIdentity, error) {
	s.id.ID = "id-" + s.id.Name
	return s.id, nil
}

func (s *side) Run(_ context.Context, name string) (pipeline.Run, error) {
	if name != s.id.Name && name != "r" {
		return pipeline.Run{}, pipeline.ErrNoRun
	}
	return pipeline.Run{Name: name, UID: s.uid, State: pipeline.RunDeleting}, nil
}

func (s *side) Own(owner pipeline.StoreIdentity) {
	if owner.ID != "" {
		s.owns = &owner
	}
}

func (s *side) Owners(context.Context, bool) (owners []pipeline.StreamOwner, _ error) {
	s.account.meanwhile()
	if s.account.owner != nil {
		owners = append(owners, pipeline.StreamOwner{Stream: "WORK", StoreIdentity: *s.account.owner})
	}
	s.account.meanwhile() // the answer is on its way
	return owners, nil
}

func (s *side) WriteOwner(_ context.Context, replace bool) error {
	if is := s.account.owner; is != nil && (is.ID == "" || is.ID == s.owns.ID || replace) {
		*is = *s.owns
	}
	return nil
}

func (s *side) Connections() uint64 { return s.account.connections }

func (s *side) Runs(context.Context) (runs []pipeline.RunInfo, _ error) {
	for name, uid := range s.account.runs {
		runs = append(runs, pipeline.RunInfo{Run: name, UID: uid})
	}
	return runs, nil
}

func (s *side) Consumers(context.Context) ([]pipeline.Presence, error) { return nil, nil }

func (s *side) RemoveRun(_ context.Context, run string) error {
	uid := s.account.runs[run]
	delete(s.account.runs, run)
	s.account.results = slices.DeleteFunc(s.account.results, func(r *accountResult) bool { return r.uid == uid })
	return nil
}

func (s *side) BatchesAt(context.Context, string, []int) ([]pipeline.Batch, error) { return nil, nil }
func (s *side) WriteResults(context.Context, []pipeline.Results, time.Time) (pipeline.Written, error) {
	return pipeline.Written{}, nil
}
func (s *side) Pin(context.Context, string, pipeline.EngineName, string, string) (string, error) {
	return "", nil
}
func (s *side) Refuse(context.Context, string, int, int) (bool, error) { return false, nil }
func (s *side) Fail(context.Context, string, int, int, []int, string) (bool, error) {
	return false, nil
}
func (s *side) PutConsumers(context.Context, []pipeline.Presence) error { return nil }

// ---- The sink alone.

// What is of no known run is compared after its second delivery, and what is broken at once.
func TestBeforeAnythingIsRemovedItIsCertainWhoseTheStreamsAre(t *testing.T) {
	for name, c := range map[string]struct {
		compare error
		change  func(*pipeline.Results)
		want    []string
	}{
		"an unknown run":                  {nil, func(m *pipeline.Results) { m.Run = "unknown" }, []string{"hand-back", "compare", "reject"}},
		"a batch that is not there":       {nil, func(m *pipeline.Results) { m.Batch = 1000 }, []string{"compare", "reject"}},
		"an unknown run of another store": {pipeline.ErrOtherStore, func(m *pipeline.Results) { m.Run = "unknown" }, []string{"hand-back", "compare", "hand-back"}},
		"an outage":                       {errAway, func(m *pipeline.Results) { m.Batch = 1000 }, []string{"compare", "hand-back"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				m := message(0, 0)
				c.change(&m)
				w.send(0, m)
				r := w.start(Config{Compare: func(context.Context) error {
					w.set(func() { w.events = append(w.events, event{what: "compare"}) })
					return c.compare
				}})
				r.end(t, 35*time.Second)
				got := w.of(0)
				if got = got[:min(len(got), len(c.want))]; !slices.Equal(got, c.want) {
					t.Errorf("%v, want %v", got, c.want)
				}
				if c.compare != nil && len(w.only("reject")) > 0 {
					t.Errorf("%v", w.of(0))
				}
			})
		})
	}
}

func TestADeadLetterOfAnotherStoreStaysForItsOwnMirror(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		d := deadLetter(0, 0, 1)
		d.Run = "unknown"
		w.bury(0, d)
		r := w.start(Config{Compare: func(context.Context) error { return fmt.Errorf("%w", pipeline.ErrOtherStore) }})
		r.end(t, 2*time.Minute)
		if got := w.of(0); len(got) < 3 || slices.Contains(got, "ack") {
			t.Errorf("%v", got)
		}
	})
}
