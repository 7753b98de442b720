package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

const (
	// The older a batch is, the longer a reconciler waits before the next look for it, but at most
	// this many times the first wait: looks cost requests, and most batches are where they should
	// be.
	patienceOutstanding = 4
	patienceDead        = 40

	mostLookEvery = 5 * time.Second

	// mostStrays bounds what a pass looks at in that way: mostly the answers are on their way to the
	// store, and what is due comes up again.
	mostStrays = 10
)

// A PassReport counts what one pass of a reconciler did.
type PassReport struct {
	Watched   int `json:"watched"`   // batches queued, or dead and not dropped
	Looked    int `json:"looked"`    // of these, batches that were searched for in this pass
	Explained int `json:"explained"` // batches set dead because their dead letter says so
	Repaired  int `json:"repaired"`  // batches that the streams had lost, now in a new round
	Refused   int `json:"refused"`   // of these, batches that the queue refused; a later pass tries again
	Swept     int `json:"swept"`     // dead letters removed because their batch is done
}

// A note is what a reconciler remembers about a batch.
type note struct {
	state  pipeline.BatchState
	round  int
	since  time.Time // first seen in this state and round
	due    time.Time // when to search for it next
	absent bool      // the last look found nothing, or only a dead letter that explains a queued batch
	pass   int       // the last pass that saw it in the store
}

// A RunReconciler repairs what the streams have lost of one run, the one that has the name when it
// first looks. It never compares the clocks of
// two machines: it acts on a batch only after it has itself found it absent twice, three leases
// apart, in the same state and round.
type RunReconciler struct {
	*Engine
	run     string
	notes   map[int]note // by batch: the dead ones and the queued ones, which are as many as the publisher's window
	untaken bool         // a result waits longer than any takes
	pass    int
	strays  int                // messages that this pass has looked at, since the queue may hand them out to no one
	inStore int                // batches that were queued in the last look at them
	sweepAt time.Time          // when to read all dead letters next
	build   pipeline.BuildFunc // of the load of the run with this uid
	uid     string

	unstored atomic.Pointer[[2]int] // batches that were neither on the queue nor stored in the last two passes
	mends    atomic.Int64           // what it has put right: rounds that it started, and batches that it set dead

	busy     sync.Mutex // held by each pass and each look
	rounds   *rounds
	refusals *refusals
	opinions *opinions
	tidier   *tidier
	alarm    *alarm
}

// Reconciler returns a reconciler for a run.
func (e *Engine) Reconciler(run string) *RunReconciler {
	r := &RunReconciler{Engine: e, run: run, notes: map[int]note{}, rounds: newRounds(e)}
	r.refusals = newRefusals(r.rounds)
	r.opinions = newOpinions(r.rounds)
	r.tidier = &tidier{Engine: e}
	r.alarm = newAlarm()
	r.unstored.Store(&[2]int{})
	return r
}

// Run makes a pass in every lease, and looks at the verdicts of dead letters every few seconds,
// until ctx ends, and then returns nil. While the store or the streams are away it says so and
// keeps trying. It returns an error if the run is gone or not open.
func (r *RunReconciler) Run(ctx context.Context) error {
	passing := outage.Loop{
		Log: r.log, Away: "looking for lost batches; trying again until it works", Back: "looking for lost batches works again",
		Fields: []zap.Field{zap.String("run", r.run)},
	}
	connected := make(chan struct{}, 1)
	stop := r.streams.OnReconnect(func() {
		select {
		case connected <- struct{}{}:
		default: // it looks anyway
		}
	})
	defer stop()
	restored := true // as far as this process knows
	for passAt := r.now(); ; {
		began := r.now()
		var err error
		if restored {
			err = r.Clear(ctx)
			restored = pipeline.IsOutage(err)
		}
		if err == nil {
			_, err = r.Opine(ctx)
		}
		if !r.now().Before(passAt) {
			passAt = r.now().Add(r.cfg.Lease)
			report, failure := r.Pass(ctx)
			r.logRepairs(report)
			if failure != nil { // mostly for the same reason
				err = failure
			}
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, pipeline.ErrNoRun) || errors.Is(err, errNotOpen):
			return err
		}
		passing.Observe(err)
		// A look at very many dead batches takes the store's time from others.
		rest := max(r.lookEvery(), 20*r.now().Sub(began))
		timer := time.NewTimer(max(0, min(rest, passAt.Sub(r.now()))))
		select {
		case <-timer.C:
		case <-connected:
			restored = true
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// Clear takes batches off the queue that are at their end, by their sequence. A broker that was
// restored, or went back to an earlier state of its disk, hands them out before all others: so this
// is done at once when it is there again.
func (r *RunReconciler) Clear(ctx context.Context) error {
	r.busy.Lock()
	defer r.busy.Unlock()
	run, err := r.open(ctx)
	if err != nil {
		return err
	}
	return r.tidier.clear(ctx, run.Run, true)
}

// lookEvery is the time between two looks at the verdicts.
func (r *RunReconciler) lookEvery() time.Duration { return min(r.cfg.Lease/3, mostLookEvery) }

// Opine gives batches another round whose verdicts another GPU may change, and those of which an
// answer was refused. It is cheap, and meant for every few seconds.
func (r *RunReconciler) Opine(ctx context.Context) (OpinionReport, error) {
	return r.lookAt(ctx, false)
}

// lookSurely does that at the end of a run, when nothing else looks for GPUs that are new.
func (r *RunReconciler) lookSurely(ctx context.Context) (OpinionReport, error) {
	return r.lookAt(ctx, true)
}

func (r *RunReconciler) lookAt(ctx context.Context, sure bool) (report OpinionReport, err error) {
	r.busy.Lock()
	defer r.busy.Unlock()
	defer func() { r.mends.Add(int64(report.Given + report.Again)) }()
	run, err := r.open(ctx)
	if err != nil {
		return report, err
	}
	if err := r.rounds.sendAll(ctx, run); err != nil {
		return report, err
	}
	if r.inStore <= fewQueued { // else each pass looks at them
		if report.Again, err = r.refusals.all(ctx, run); err != nil {
			return report, err
		}
	}
	return report, r.opinions.look(ctx, run, sure, &report)
}

func (r *RunReconciler) logRepairs(report PassReport) {
	if report.Repaired+report.Explained+report.Swept > 0 {
		r.log.Info("put right what the streams had lost", zap.String("run", r.run), zap.Int("repaired", report.Repaired),
			zap.Int("refused", report.Refused), zap.Int("explained", report.Explained), zap.Int("swept", report.Swept))
	}
}

// errNotOpen says that batches of a run may not be queued.
var errNotOpen = errors.New("the run is not open")

// Pass searches once for every batch that is due. An error ends the pass, and the report says what
// was done before it. The notes stay, so that the next pass continues from there.
func (r *RunReconciler) Pass(ctx context.Context) (report PassReport, err error) {
	r.busy.Lock()
	defer r.busy.Unlock()
	defer func() { r.mends.Add(int64(report.Repaired + report.Explained)) }()
	run, err := r.open(ctx)
	if err != nil {
		return report, err
	}
	info, err := r.streams.KeepRun(ctx, run.Run) // a server that lost the queue has lost the run as well
	if err != nil {
		return report, err
	}
	if err := r.adoptPause(ctx, run.Run, info); err != nil {
		return report, err
	}
	r.pass++
	r.inStore, r.strays = 0, 0
	for _, state := range []pipeline.BatchState{pipeline.Queued, pipeline.Dead} {
		if err := r.page(ctx, run, state, &report); err != nil {
			return report, err
		}
	}
	before := r.unstored.Load()
	r.unstored.Store(&[2]int{max(0, r.inStore-info.Waiting-info.Held), before[0]})
	for index, n := range r.notes {
		if n.pass != r.pass {
			delete(r.notes, index)
		}
	}
	r.refusals.passed()
	if r.untaken || report.Explained > 0 { // what takes results and letters off the streams may be gone, and nothing else tells
		r.untaken = false
		if err := r.streams.EnsureRun(ctx, run.Run); err != nil {
			return report, err
		}
	}
	sweep := !r.now().Before(r.sweepAt)
	if err := r.tidier.tidy(ctx, run.Run, info.Waiting+info.Held > r.inStore || sweep || r.pass == 1); err != nil {
		return report, err
	}
	if sweep {
		if report.Swept, err = r.Sweep(ctx, run.Name); err != nil {
			return report, err
		}
		r.sweepAt = r.now().Add(r.cfg.SweepEvery)
	}
	return report, nil
}

// adoptPause writes down in the store that the queue has the run paused. An earlier version pauses
// a run there alone, where only those see it who ask the queue.
func (r *RunReconciler) adoptPause(ctx context.Context, run pipeline.Run, info pipeline.RunInfo) error {
	if !info.Paused || !info.PausedAs.IsZero() || run.Paused() {
		return nil
	}
	return r.store.Pause(ctx, run.Name, run.UID, pipeline.RunPause{Since: r.now(), Cause: pipeline.PausedByPerson})
}

// Unstored returns how many batches were neither on the queue nor stored in the last two passes.
func (r *RunReconciler) Unstored() int {
	unstored := r.unstored.Load()
	return min(unstored[0], unstored[1])
}

// open returns the run if batches of it may be queued.
func (r *RunReconciler) open(ctx context.Context) (openRun, error) {
	run, err := r.store.Run(ctx, r.run)
	if err == nil && r.uid != "" { // the name may be given again
		err = pipeline.Run{Name: r.run, UID: r.uid}.StillThere(run, nil)
	}
	if err != nil {
		return openRun{}, err
	}
	if run.State != pipeline.RunOpen {
		return openRun{}, fmt.Errorf("run %s is %s: %w", run.Name, run.State, errNotOpen)
	}
	if r.uid == "" {
		if r.build, err = r.newBuild(run); err != nil {
			return openRun{}, err
		}
		r.uid = run.UID
	}
	return openRun{run, r.build}, nil
}

// page reads all batches in a state and searches for those that are due.
func (r *RunReconciler) page(ctx context.Context, run openRun, state pipeline.BatchState, report *PassReport) error {
	for from := 0; ; {
		batches, err := r.store.Batches(ctx, run.Name, state, from, PageSize)
		if err != nil || len(batches) == 0 {
			return err
		}
		report.Watched += len(batches)
		if state == pipeline.Queued {
			r.inStore += len(batches)
		}
		due := make([]bool, len(batches))
		count := 0
		for i, b := range batches {
			if due[i] = r.due(b); due[i] {
				count++
			}
		}
		var queued map[int]bool
		if state == pipeline.Queued {
			if queued, err = r.queued(ctx, run.Run, count); err != nil {
				return err
			}
		}
		r.refusals.old = nil
		for i, b := range batches {
			if again, waits, err := r.refusals.again(ctx, run, b); err != nil {
				return err
			} else if again || waits {
				continue
			}
			if !due[i] && !queued[b.Index] { // the list has found batches that are not due, too: this postpones them
				continue
			}
			if err := r.watch(ctx, run, b, queued, report); err != nil {
				return err
			}
		}
		from = batches[len(batches)-1].Index + 1
	}
}

// wait is how long a batch has to be absent before the reconciler acts.
func (r *RunReconciler) wait() time.Duration { return 3 * r.cfg.Lease }

// due notes a batch as the store has it, and reports whether it is time to search for it.
func (r *RunReconciler) due(b pipeline.Batch) bool {
	now := r.now()
	n, known := r.notes[b.Index]
	if !known || n.state != b.State || n.round != b.Round {
		n = note{state: b.State, round: b.Round, since: now, due: now.Add(r.wait())}
	}
	n.pass = r.pass
	r.notes[b.Index] = n
	return !now.Before(n.due)
}

// watch searches for one batch.
func (r *RunReconciler) watch(ctx context.Context, run openRun, b pipeline.Batch, queued map[int]bool, report *PassReport) error {
	report.Looked++
	where, letter, err := r.locate(ctx, run.Run, b, queued)
	if err != nil {
		return err
	}
	if where == inWork && r.Unstored() > 0 && r.strays < mostStrays { // the queue counts fewer than there should be
		r.strays++
		gone, err := r.removeStray(ctx, run.Name, b.Index)
		if err != nil {
			return err
		}
		if gone {
			where = nowhere
		}
	}
	r.untaken = r.untaken || where == inResults
	now, n := r.now(), r.notes[b.Index]
	settled := where == inWork || where == inResults || where == inDead && b.State == pipeline.Dead
	switch {
	case settled:
		n.absent = false
		n.due = now.Add(min(max(now.Sub(n.since), r.wait()), r.patience(b.State)))
	case !n.absent:
		n.absent = true
		n.due = now.Add(r.wait())
	default: // absent twice, three leases apart
		delete(r.notes, b.Index) // it is new to the reconciler after this, whatever comes of it
		return r.act(ctx, run.Run, b, where, letter, report)
	}
	r.notes[b.Index] = n
	return nil
}

func (r *RunReconciler) patience(state pipeline.BatchState) time.Duration {
	if state == pipeline.Dead {
		return patienceDead * r.wait()
	}
	return patienceOutstanding * r.wait()
}

// act explains or repairs a batch that is nowhere, or only under a dead letter that explains it.
func (r *RunReconciler) act(ctx context.Context, run pipeline.Run, seen pipeline.Batch, where location, letter pipeline.StoredDeadLetter, report *PassReport) error {
	b, err := r.readBatch(ctx, seen.Run, seen.Index) // its last results may have been stored meanwhile
	if err != nil {
		return err
	}
	switch {
	case b.State != seen.State || b.Round != seen.Round || b.Refused != seen.Refused:
		return nil
	case where == inDead:
		return r.explain(ctx, b, letter, report)
	}
	return r.repair(ctx, run, b, report)
}

// explain does what the sink's mirror would have done with a dead letter that it never received.
func (r *RunReconciler) explain(ctx context.Context, b pipeline.Batch, letter pipeline.StoredDeadLetter, report *PassReport) error {
	failed := slices.DeleteFunc(letter.Failed(), func(index int) bool { return index >= b.Count })
	dead, err := r.store.Fail(ctx, b.Run, b.Index, b.Round, failed, letter.Message)
	if dead {
		report.Explained++
	}
	return err
}

// repair starts another round of a batch with the generations that are not stored.
func (r *RunReconciler) repair(ctx context.Context, run pipeline.Run, b pipeline.Batch, report *PassReport) error {
	work, err := workFor(ctx, r.build, b)
	if err != nil {
		return err
	}
	next := claim{seen: b, opinions: b.Opinions, at: r.instant()}
	ours, err := next.make(ctx, r.Engine)
	if err != nil || !ours {
		return err
	}
	report.Repaired++
	r.alarm.repaired(r.log, r.now(), run, b)
	work, err = r.put(ctx, work)
	switch {
	case errors.Is(err, pipeline.ErrOutstanding):
		report.Refused++
		return nil
	case errors.Is(err, pipeline.ErrFull):
		report.Refused++
		return fmt.Errorf("putting the lost batch %s on the queue again: %w; it waits until workers have taken something from there", b.ID(), err)
	case err != nil:
		return fmt.Errorf("putting the lost batch %s on the queue again: %w", b.ID(), err)
	}
	r.log.Debug("a lost batch is on the queue again", zap.String("batch", b.ID()), zap.Int("round", work.Round), zap.Int("generations", len(work.Generations)))
	return nil
}
