package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

// RedriveOptions say how dead letters are redriven. The zero value redrives all of them, as fast as
// possible and with the options of their run.
type RedriveOptions struct {
	Limit  int     // letters to queue, at most; 0: no limit
	Rate   float64 // letters a second, at most; 0: no limit
	DryRun bool    // only count
	Again  bool    // also what would end alike: with the same options and seeds as in its last round

	// These hold for the new round only. The run's spec stays, and a later repair uses that.
	Options pipeline.Options // what is not set is the run's
	Seed    *int             // in place of the run's seed; nil: the run's

	Progress func(RedriveReport) // called after each letter; may be nil
}

// tellFullEvery is how often a queue that is full again after each batch is reported.
const tellFullEvery = 5 * time.Minute

// A RedriveReport counts what Redrive did with the chosen dead letters.
type RedriveReport struct {
	Chosen      int `json:"chosen"`      // letters that passed the filter
	Redriven    int `json:"redriven"`    // letters on the queue again; in a dry run, letters that would be
	Generations int `json:"generations"` // of the redriven letters
	Refused     int `json:"refused"`     // taken, but the batch is still on the queue, so the letter stays
	Stale       int `json:"stale"`       // letters whose batch is done; deleted, unless in a dry run
	Alike       int `json:"alike"`       // left, because with these options they would end as before
	Skipped     int `json:"skipped"`     // the batch is not dead: under way, dropped, gone, or taken by another process

	WhyAlike string `json:"why_alike,omitempty"` // of the first of those, and what helps
}

// validate returns what is wrong with the options.
func (o RedriveOptions) validate() error {
	switch {
	case o.Limit < 0:
		return fmt.Errorf("limit %d is negative", o.Limit)
	case o.Rate < 0:
		return fmt.Errorf("rate %g is negative", o.Rate)
	}
	if o.Options.NumCtx != 0 {
		return &pipeline.SpecError{Field: "num-ctx", Problem: "it is of the whole run, and GPUs take its batches by it: load the rows as another run"}
	}
	return o.Options.Check()
}

// apply changes a message for the new round.
func (o RedriveOptions) apply(work *pipeline.Work) {
	work.Options = work.Options.With(o.Options)
	if o.Seed != nil {
		work.Reseeded = true
		for i, g := range work.Generations {
			work.Generations[i].Seed = pipeline.Seed(*o.Seed, pipeline.GenerationID(work.Run, g.Item, g.Sample))
		}
	}
}

// Redrive gives the batches of the chosen dead letters another round, oldest first. It may be
// interrupted anywhere and called again, also by several processes at once: only one of them takes
// a batch, and a RunReconciler repairs what an interruption left half done. While the store or the
// streams are away, refuse writes or have no room, it waits. The report is valid even if there is
// an error.
func (e *Engine) Redrive(ctx context.Context, filter Filter, options RedriveOptions) (RedriveReport, error) {
	if err := options.validate(); err != nil {
		return RedriveReport{}, err
	}
	r := newRedrive(e, options)
	last := uint64(0)
	err := r.away.Do(ctx, func(ctx context.Context) error { return r.through(ctx, filter, &last) })
	return r.report, err
}

// A redrive is one call of Redrive.
type redrive struct {
	*Engine
	options RedriveOptions
	report  RedriveReport
	builds  map[string]pipeline.BuildFunc // by uid of the run
	limiter *rate.Limiter                 // of queued letters; nil: no limit
	away    outage.Loop                   // for the store and the streams
	full    outage.Loop                   // for room on the queue
}

func newRedrive(e *Engine, options RedriveOptions) *redrive {
	pause := func(ctx context.Context) error { return e.sleep(ctx, e.cfg.Pause) }
	r := &redrive{
		Engine: e, options: options, builds: map[string]pipeline.BuildFunc{},
		away: outage.Loop{
			Log: e.log, Away: "the redrive waits; nothing is lost, trying again until it works", Back: "the redrive goes on", Pause: pause,
			Stops: func(err error) bool { return errors.Is(err, pipeline.ErrFull) || !pipeline.IsOutage(err) },
		},
		full: outage.Loop{
			Log: e.log, Away: "the queue has no room; the redrive waits until it takes batches again, nothing is lost",
			Back: "the queue takes batches again", Pause: pause,
			Stops: func(err error) bool { return !errors.Is(err, pipeline.ErrFull) }, Reporter: &outage.Reporter{Quiet: tellFullEvery},
		},
	}
	if options.Rate > 0 {
		r.limiter = rate.NewLimiter(rate.Limit(options.Rate), 1)
	}
	return r
}

// through redrives the letters after the last one.
func (r *redrive) through(ctx context.Context, filter Filter, last *uint64) error {
	for letter, err := range r.Letters(ctx, filter) {
		if err != nil {
			return err
		}
		if letter.Sequence <= *last {
			continue
		}
		*last = letter.Sequence
		r.report.Chosen++
		if err := r.one(ctx, letter, filter.Run != ""); err != nil {
			return err
		}
		if r.options.Progress != nil {
			r.options.Progress(r.report)
		}
		if r.options.Limit > 0 && r.report.Redriven+r.report.Refused >= r.options.Limit {
			break
		}
	}
	return nil
}

// persist repeats a step until it succeeds, a person has to act, or ctx ends. A step that succeeded
// without a reply is repeated, too, and then changes nothing.
func (r *redrive) persist(ctx context.Context, step func() error) error {
	return r.away.Do(ctx, func(context.Context) error { return step() })
}

// remove deletes a letter.
func (r *redrive) remove(ctx context.Context, sequence uint64) error {
	return r.persist(ctx, func() error { return r.streams.DeleteDeadLetter(ctx, sequence) })
}

// one decides about a letter. It does not matter whether the letter is of the batch's present
// round: the batch is taken as it is. If the filter names a run, it is an error that this run is
// not open.
func (r *redrive) one(ctx context.Context, letter Letter, named bool) error {
	switch {
	case letter.Now.State == pipeline.Done:
		r.report.Stale++
		if r.options.DryRun {
			return nil
		}
		return r.remove(ctx, letter.Sequence)
	case letter.Now.State != pipeline.Dead, letter.Owner.State != pipeline.RunOpen && !named:
		r.report.Skipped++
		return nil
	case letter.Owner.State != pipeline.RunOpen:
		return fmt.Errorf("redriving %s: run %s is %s: %w", letter.ID(), letter.Owner.Name, letter.Owner.State, errNotOpen)
	case !r.options.Again && r.options.alike(letter):
		if r.report.Alike++; r.report.Alike == 1 {
			r.report.WhyAlike = sayAlike(letter)
		}
		return nil
	case r.options.DryRun:
		r.count(len(letter.Now.Missing()))
		return nil
	}
	if err := r.awaitRate(ctx); err != nil {
		return err
	}
	return r.take(ctx, letter)
}

func (r *redrive) count(generations int) {
	r.report.Redriven++
	r.report.Generations += generations
}

// take starts a new round of a dead batch, publishes it, and only then deletes the letter.
func (r *redrive) take(ctx context.Context, letter Letter) error {
	b := letter.Now
	var work pipeline.Work
	err := r.persist(ctx, func() error {
		build, err := r.buildFor(ctx, letter.Owner)
		if err == nil {
			work, err = workFor(ctx, build, b)
		}
		return err
	})
	if err != nil {
		return err
	}
	r.options.apply(&work)
	if err := ctx.Err(); err != nil {
		return err
	}
	finish, cancel := outage.WithGrace(ctx, finishWithin)
	defer cancel()
	ours, next := false, claim{seen: b, at: r.instant()}
	err = r.persist(ctx, func() (err error) {
		ours, err = next.make(finish, r.Engine)
		return err
	})
	if err != nil {
		return err
	}
	if !ours {
		r.report.Skipped++
		return nil
	}
	err = r.publish(ctx, finish, &work)
	if errors.Is(err, pipeline.ErrOutstanding) { // its worker may be between its dead letter and its ack
		r.report.Refused++
		return nil
	}
	if err != nil {
		return fmt.Errorf("redriving %s: %w", b.ID(), err)
	}
	r.count(len(work.Generations))
	return r.remove(finish, letter.Sequence)
}

// finishWithin is how long the work on a letter that is taken may continue after an interruption:
// otherwise its batch would have to wait for a reconciler.
const finishWithin = 10 * time.Second

// buildFor returns the BuildFunc of a run, after making sure that the run has its queue.
func (r *redrive) buildFor(ctx context.Context, run pipeline.Run) (pipeline.BuildFunc, error) {
	if build, ok := r.builds[run.UID]; ok {
		return build, nil
	}
	if err := r.streams.EnsureRun(ctx, run); err != nil {
		return nil, err
	}
	build, err := r.newBuild(run)
	if err == nil {
		r.builds[run.UID] = build
	}
	return build, err
}

// publish waits while the queue has no room, except after an interruption. It leaves in work what
// was put on the queue.
func (r *redrive) publish(ctx, finish context.Context, work *pipeline.Work) error {
	return r.full.Do(ctx, func(ctx context.Context) error {
		return r.persist(ctx, func() (err error) {
			*work, err = r.put(finish, *work)
			return err
		})
	})
}

// awaitRate waits until the rate allows another letter.
func (r *redrive) awaitRate(ctx context.Context) error {
	if r.limiter == nil {
		return nil
	}
	now := r.now()
	if wait := r.limiter.ReserveN(now, 1).DelayFrom(now); wait > 0 {
		return r.sleep(ctx, wait)
	}
	return nil
}
