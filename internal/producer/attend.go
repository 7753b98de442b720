package producer

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

const (
	countEvery = 2 * time.Second // between two looks whether there are other runs
	// A list of all runs costs more, the more there are.
	listEvery     = time.Minute
	listEveryEach = 500 * time.Millisecond
	attendAgain   = time.Minute // after a run could not be followed
)

// OpenRuns is the part of the store that knows which runs there are.
type OpenRuns interface {
	Runs(ctx context.Context) ([]pipeline.Run, error)
	CountRuns(ctx context.Context, state pipeline.RunState) (int, error)
	Run(ctx context.Context, name string) (pipeline.Run, error)
	Progress(ctx context.Context, run string, since time.Time) (pipeline.Progress, error)
}

// RunsQueue is the part of the queue that knows which runs are on it.
type RunsQueue interface {
	Runs(ctx context.Context) ([]pipeline.RunInfo, error)
}

// A RunsWatcher is told what becomes of the runs that are attended. It is called by a goroutine for
// each run.
type RunsWatcher interface {
	// Begins is told that a run is followed from now on.
	Begins(run pipeline.Run)
	// Looks gets each look at a run.
	Looks(ctx context.Context, look Look)
	// Pauses is told that a run was paused because too much of it fails. It is followed on.
	Pauses(run pipeline.Run, why *TooManyFailures)
	// Ends is told that a run is followed no more: it is complete, or an error says why it cannot
	// be followed. Again reports whether that is tried again in a while.
	Ends(ctx context.Context, run pipeline.Run, err error, again bool)
}

// An Attendant follows all open runs of a store to their end, as many as there are.
type Attendant struct {
	publisher  *Publisher
	reconciler Reconciler
	store      OpenRuns
	queue      RunsQueue
	watcher    RunsWatcher
	log        *zap.Logger

	mu        sync.Mutex
	following map[string]bool      // by uid
	rests     map[string]time.Time // by uid: until when a run is not followed that could not be; zero: it was at its end
}

// NewAttendant returns an attendant whose runs this publisher publishes and follows.
func NewAttendant(publisher *Publisher, reconciler Reconciler, store OpenRuns, queue RunsQueue, watcher RunsWatcher) (*Attendant, error) {
	if publisher == nil || reconciler == nil || store == nil || queue == nil || watcher == nil {
		return nil, errors.New("producer: an attendant needs a publisher, a reconciler, a store, a queue and a watcher")
	}
	return &Attendant{
		publisher: publisher, reconciler: reconciler, store: store, queue: queue, watcher: watcher, log: publisher.log,
		following: map[string]bool{}, rests: map[string]time.Time{},
	}, nil
}

// Await returns once the store has a run that is loaded completely: before that there is nothing
// for which streams are made. Waiting, which may be nil, is called once if there is none yet.
func (a *Attendant) Await(ctx context.Context, waiting func()) error {
	loop := outage.Loop{Log: a.log, Away: "cannot read which runs there are; trying again until it works", Back: "the store can be read again"}
	for {
		n := 0
		err := loop.Do(ctx, func(ctx context.Context) (err error) { n, err = a.loaded(ctx); return err })
		if err != nil || n > 0 {
			return err
		}
		if waiting != nil {
			waiting()
			waiting = nil
		}
		if err := outage.Sleep(ctx, countEvery); err != nil {
			return err
		}
	}
}

// loaded counts the runs of which something may be on the streams.
func (a *Attendant) loaded(ctx context.Context) (all int, err error) {
	for _, state := range []pipeline.RunState{pipeline.RunOpen, pipeline.RunCancelled} {
		n, err := a.store.CountRuns(ctx, state)
		if err != nil {
			return 0, err
		}
		all += n
	}
	return all, nil
}

// Run follows the open runs until ctx ends, and then returns nil: those that there are and those
// that are loaded later. A run that is paused stays so. Runs that are at their end cost nothing but
// a place in a list that is read from time to time.
func (a *Attendant) Run(ctx context.Context) error {
	var runs sync.WaitGroup
	defer runs.Wait()
	looking := outage.Loop{Log: a.log, Away: "cannot look which runs there are; trying again until it works", Back: "which runs there are can be seen again"}
	counted, due := -1, time.Time{}
	for {
		n, err := a.store.CountRuns(ctx, pipeline.RunOpen)
		if err == nil && (n != counted || !time.Now().Before(due)) {
			var all int
			if all, err = a.list(ctx, &runs); err == nil {
				counted = n
				due = time.Now().Add(max(listEvery, time.Duration(all)*listEveryEach))
			}
		}
		if ctx.Err() == nil {
			looking.Observe(err)
		}
		if outage.Sleep(ctx, countEvery) != nil {
			return nil
		}
	}
}

// list begins to follow the open runs that are not followed and not at their end. It returns how
// many runs there are.
func (a *Attendant) list(ctx context.Context, followers *sync.WaitGroup) (int, error) {
	infos, err := a.queue.Runs(ctx) // first: it is small, and mostly what is away
	if err != nil {
		return 0, err
	}
	runs, err := a.store.Runs(ctx)
	if err != nil {
		return 0, err
	}
	queued := map[string]pipeline.RunInfo{}
	for _, info := range infos {
		queued[info.Run] = info
	}
	a.forget(runs)
	var begin []pipeline.Run
	defer func() {
		a.publisher.share.Add(int64(len(begin))) // before any of them asks for room
		for _, run := range begin {
			followers.Go(func() { a.follow(ctx, run) })
		}
	}()
	for _, run := range runs {
		if run.State != pipeline.RunOpen {
			continue
		}
		info, known := queued[run.Name]
		begins, err := a.begins(ctx, run, info, known)
		if err != nil {
			return 0, err
		}
		if begins {
			begin = append(begin, run)
		}
	}
	return len(runs), nil
}

// begins reports whether a run has to be followed from now on. Only of one that may have begun or
// ended unseen the store is asked how far it is: a redrive of what failed is done by another
// process, and may be over before this one looks.
func (a *Attendant) begins(ctx context.Context, run pipeline.Run, info pipeline.RunInfo, known bool) (bool, error) {
	a.mu.Lock()
	until, rested := a.rests[run.UID]
	following := a.following[run.UID]
	a.mu.Unlock()
	onQueue := known && info.Waiting+info.Held > 0
	switch {
	case following, rested && !until.IsZero() && time.Now().Before(until):
		return false, nil
	case rested && until.IsZero() && !onQueue && (!known || info.Complete):
		return false, nil
	}
	progress, err := a.store.Progress(ctx, run.Name, time.Now())
	if err != nil {
		return false, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	untold := known && !info.Complete && (progress.Failed == 0 || !rested)
	if progress.Complete() && !onQueue && !untold { // nothing of it is left to do
		a.rests[run.UID] = time.Time{}
		return false, nil
	}
	delete(a.rests, run.UID)
	a.following[run.UID] = true
	return true, nil
}

// forget forgets runs that are gone.
func (a *Attendant) forget(runs []pipeline.Run) {
	there := map[string]bool{}
	for _, run := range runs {
		there[run.UID] = run.State == pipeline.RunOpen
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for uid := range a.rests {
		if !there[uid] {
			delete(a.rests, uid)
		}
	}
}

// follow follows a run until it is at its end, or cannot be followed for now.
func (a *Attendant) follow(ctx context.Context, run pipeline.Run) {
	a.watcher.Begins(run)
	err := a.toEnd(ctx, run)
	a.publisher.share.Add(-1)
	a.publisher.cfg.Metrics.forget(run.Name)
	if ctx.Err() != nil {
		return
	}
	var until time.Time
	again := err != nil && a.stillOpen(ctx, run)
	if again {
		until = time.Now().Add(attendAgain)
	}
	a.mu.Lock()
	delete(a.following, run.UID)
	a.rests[run.UID] = until
	a.mu.Unlock()
	a.watcher.Ends(ctx, run, err, again)
}

// stillOpen reports whether a run may be followed another time. If the store does not say it, it
// may.
func (a *Attendant) stillOpen(ctx context.Context, known pipeline.Run) bool {
	run, err := a.store.Run(ctx, known.Name)
	switch {
	case errors.Is(err, pipeline.ErrNoRun):
		return false
	case err != nil:
		return true
	}
	return run.UID == known.UID && run.State == pipeline.RunOpen
}

// toEnd follows a run as FollowToEnd does, but a run that is paused stays paused until a person
// lets it go on, also one that its failures have paused.
func (a *Attendant) toEnd(ctx context.Context, run pipeline.Run) error {
	p, watch := a.publisher, func(look Look) { a.watcher.Looks(ctx, look) }
	for {
		final, err := p.limited(ctx, run, watch, func(ctx context.Context, watch func(Look)) (pipeline.Progress, error) {
			return p.followUntilSettled(ctx, run, a.reconciler, watch)
		})
		if tooMany := (*TooManyFailures)(nil); errors.As(err, &tooMany) && ctx.Err() == nil {
			a.watcher.Pauses(run, tooMany)
			continue
		}
		if err == nil {
			p.tellIfComplete(ctx, run, final)
		}
		return err
	}
}
