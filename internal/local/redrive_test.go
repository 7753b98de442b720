package local_test

import (
	"context"
	"errors"
	"iter"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
	"gleaner/internal/reconcile"
	"gleaner/internal/store"
	"gleaner/internal/stream"
)

var errKilled = errors.New("the process was killed")

// A crashPoint lets a number of calls happen and none after them. With late one more call happens,
// but its caller does not learn of it.
type crashPoint struct {
	left atomic.Int64
	late bool
}

func (p *crashPoint) pass(call func() error) error {
	switch left := p.left.Add(-1); {
	case left >= 0:
		return call()
	case left == -1 && p.late:
		_ = call()
	}
	return errKilled
}

// crashingStore and crashingStreams are the store and the streams of a process that is killed
// between two calls.
type crashingStore struct {
	store.Store
	*crashPoint
}

func (m crashingStore) Run(ctx context.Context, name string) (run pipeline.Run, err error) {
	err = m.pass(func() (err error) { run, err = m.Store.Run(ctx, name); return err })
	return run, err
}

func (m crashingStore) BatchesAt(ctx context.Context, run string, indexes []int) (batches []pipeline.Batch, err error) {
	err = m.pass(func() (err error) { batches, err = m.Store.BatchesAt(ctx, run, indexes); return err })
	return batches, err
}

func (m crashingStore) Requeue(ctx context.Context, seen pipeline.Batch, opinions int, at time.Time) (did bool, err error) {
	err = m.pass(func() (err error) { did, err = m.Store.Requeue(ctx, seen, opinions, at); return err })
	return did && err == nil, err
}

type crashingStreams struct {
	*stream.Conn
	*crashPoint
}

func (m crashingStreams) EnsureRun(ctx context.Context, run pipeline.Run) error {
	return m.pass(func() error { return m.Conn.EnsureRun(ctx, run) })
}

func (m crashingStreams) KeepRun(ctx context.Context, run pipeline.Run) (info pipeline.RunInfo, err error) {
	err = m.pass(func() (err error) { info, err = m.Conn.KeepRun(ctx, run); return err })
	return info, err
}

func (m crashingStreams) Publish(ctx context.Context, work pipeline.Work) error {
	return m.pass(func() error { return m.Conn.Publish(ctx, work) })
}

func (m crashingStreams) DeleteDeadLetter(ctx context.Context, sequence uint64) error {
	return m.pass(func() error { return m.Conn.DeleteDeadLetter(ctx, sequence) })
}

func (m crashingStreams) DeadLetters(ctx context.Context, run string) iter.Seq2[pipeline.StoredDeadLetter, error] {
	return func(yield func(pipeline.StoredDeadLetter, error) bool) {
		for letter, err := range m.Conn.DeadLetters(ctx, run) {
			if died := m.pass(func() error { return nil }); died != nil {
				yield(pipeline.StoredDeadLetter{}, died)
				return
			}
			if !yield(letter, err) {
				return
			}
		}
	}
}

// runHalf loads a run and publishes it while every second item cannot be generated. It returns when
// all others are stored and the rest is dead; from then on every item can be generated.
func (p *parts) runHalf(operator, worker *stream.Conn, items, batch int) (stopConsumer func()) {
	p.t.Helper()
	p.load(items, batch)
	p.fails.Store(true)
	p.publish(operator)
	stop := p.startConsumer(worker)
	p.waitFor("complete", pipeline.Progress.Complete)
	eventually(p.t, func() bool { // a worker may be between its dead letter and its ack
		depth, err := operator.Depth(p.t.Context(), p.run.Name)
		p.must(err)
		return depth.Waiting+depth.Held == 0
	}, func() string { return "the queue is not empty" })
	p.fails.Store(false)
	return stop
}

// A redrive is killed before or after each of its calls of store and streams, on real ones. What
// it left is finished by a second one, and by a reconciler where a batch was taken and not
// published.
func TestARedriveKilledBetweenAnyTwoStepsIsFinishedByTheNext(t *testing.T) {
	const items, batch = 8, 4 // two batches, two generations dead in each
	onEachStore(t, func(p *parts) {
		operator, worker := p.as("producer"), p.as("consumer")
		p.startSink()
		for _, late := range []bool{false, true} {
			for n, killed := 0, true; killed; n++ {
				stop := p.runHalf(operator, worker, items, batch)
				point := &crashPoint{late: late}
				point.left.Store(int64(n))
				_, err := p.engine(crashingStore{p.store, point}, crashingStreams{operator, point}).Redrive(p.t.Context(), reconcile.Filter{Run: p.run.Name}, reconcile.RedriveOptions{})
				if killed = err != nil; killed && !errors.Is(err, errKilled) {
					p.t.Fatal(err)
				}
				p.recover(operator)
				p.checkTexts(nil)
				p.checkStreams(operator)
				stop()
				if !killed && n < 8 { // for each letter: read, take, publish, delete
					p.t.Errorf("only %d calls at which it can be killed", n)
				}
				if p.t.Failed() {
					p.t.Fatalf("killed at call %d, late: %v", n, late)
				}
			}
		}
		p.t.Logf("%d redrives", p.runs)
	})
}

// recover does what an operator does after a redrive was killed: redrive again, and let producer
// publish --follow look for what is lost.
func (p *parts) recover(operator *stream.Conn) {
	p.t.Helper()
	engine := p.engine(p.store, operator)
	_, err := engine.Redrive(p.t.Context(), reconcile.Filter{Run: p.run.Name}, reconcile.RedriveOptions{})
	p.must(err)
	reconciler := engine.Reconciler(p.run.Name)
	p.waitFor("done", func(progress pipeline.Progress) bool {
		_, err := reconciler.Pass(p.t.Context())
		p.must(err)
		return progress.Stored == p.run.Items
	})
	_, err = engine.Sweep(p.t.Context(), p.run.Name)
	p.must(err)
	account, err := engine.Audit(p.t.Context(), p.run.Name)
	p.must(err)
	if !account.Balanced() || account.Stored != p.run.Items || account.Dead != 0 {
		p.t.Errorf("the audit says %+v", account)
	}
}

// Two operators redrive the same letters at once: each batch is taken by one of them.
func TestTwoOperatorsRedriveTheSameLettersAtOnce(t *testing.T) {
	const items, batch = 200, 4
	onEachStore(t, func(p *parts) {
		p.startSink()
		operator := p.as("producer")
		p.runHalf(operator, p.as("consumer"), items, batch)
		var reports [2]reconcile.RedriveReport
		var both sync.WaitGroup
		start := make(chan struct{})
		for i := range reports {
			engine := p.engine(p.store, p.as("producer"))
			both.Go(func() {
				<-start
				var err error
				if reports[i], err = engine.Redrive(p.t.Context(), reconcile.Filter{Run: p.run.Name}, reconcile.RedriveOptions{}); err != nil {
					p.t.Error(err)
				}
			})
		}
		close(start)
		both.Wait()
		sum := reports[0].Redriven + reports[1].Redriven
		generations := reports[0].Generations + reports[1].Generations
		if sum != items/batch || generations != items/2 {
			p.t.Errorf("%d batches with %d generations redriven, want %d with %d: %+v", sum, generations, items/batch, items/2, reports)
		}
		p.t.Logf("%+v", reports)
		p.recover(operator)
		p.checkTexts(nil)
		p.checkStreams(operator)
		for answer, err := range p.store.Answers(p.t.Context(), p.run.Name) {
			p.must(err)
			if want := 1 + answer.Item%2; answer.Result.Round != want {
				p.t.Errorf("item %d was answered in round %d, want %d", answer.Item, answer.Result.Round, want)
			}
		}
	})
}

// Forty items fail until a switch is turned, and are redriven by their class.
func TestFortyItemsAreDoneAfterTheirSwitchIsTurned(t *testing.T) {
	onEachStore(t, func(p *parts) {
		p.startSink()
		operator := p.as("producer")
		p.runHalf(operator, p.as("consumer"), 80, 4)
		engine := p.engine(p.store, operator)
		none, err := engine.Redrive(p.t.Context(), reconcile.Filter{Run: p.run.Name, Classes: []pipeline.Class{pipeline.Poison}}, reconcile.RedriveOptions{})
		p.must(err)
		report, err := engine.Redrive(p.t.Context(), reconcile.Filter{Run: p.run.Name, Classes: []pipeline.Class{pipeline.BadItem}}, reconcile.RedriveOptions{})
		p.must(err)
		if diff := cmp.Diff([]reconcile.RedriveReport{{}, {Chosen: 20, Redriven: 20, Generations: 40}}, []reconcile.RedriveReport{none, report}); diff != "" {
			p.t.Errorf("(-want +got):\n%s", diff)
		}
		p.waitFor("done", func(progress pipeline.Progress) bool { return progress.Batches[pipeline.Done] == 20 })
		p.checkTexts(nil)
		p.checkStreams(operator)
	})
}
