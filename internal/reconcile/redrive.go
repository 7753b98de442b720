package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

// RedriveOptions say how dead letters are tried again. Zero values mean: all of them, as fast as
// it goes, as they were.
type RedriveOptions struct {
	Limit  int     // letters to put on the queue, at most
	Rate   float64 // letters a second, at most
	DryRun bool    // only count

	// For the new round only: the run's spec stays, and so does what a later repair of the batch
	// uses.
	NumPredict  int      // tokens of an answer, at most
	Temperature *float64 // nil: the run's
	Seed        *int     // takes the place of the run's seed; nil: the run's

	Progress func(RedriveReport) // called after each letter; nil: not
}

// tellFullEvery is how often is told of a queue that is full again with each batch.
const tellFullEvery = 5 * time.Minute

// A RedriveReport says what became of the dead letters that were chosen.
type RedriveReport struct {
	Chosen      int `json:"chosen"`      // letters that the filter let through
	Redriven    int `json:"redriven"`    // on the queue again, in a dry run: would be
	Generations int `json:"generations"` // of these
	Refused     int `json:"refused"`     // taken, but the batch is still on the queue; the letter stays
	Stale       int `json:"stale"`       // removed, or in a dry run would be: the batch is done
	Skipped     int `json:"skipped"`     // the batch is not dead: under way, dropped, gone, or taken by somebody else
}

// validate says what is wrong with the options.
func (o RedriveOptions) validate() error {
	switch {
	case o.Limit < 0:
		return fmt.Errorf("limit %d is negative", o.Limit)
	case o.Rate < 0:
		return fmt.Errorf("rate %g is negative", o.Rate)
	case o.NumPredict < 0 || o.NumPredict > pipeline.MaxNumPredict:
		return fmt.Errorf("num-predict %d is not in 1..%d", o.NumPredict, pipeline.MaxNumPredict)
	}
	return nil
}

// apply changes a message for the new round.
func (o RedriveOptions) apply(work *pipeline.Work) {
	if o.NumPredict > 0 {
		work.Options.NumPredict = o.NumPredict
	}
	if o.Temperature != nil {
		work.Options.Temperature = o.Temperature
	}
	if o.Seed != nil {
		work.Reseeded = true
		for i, g := range work.Generations {
			work.Generations[i].Seed = pipeline.Seed(*o.Seed, pipeline.GenerationID(work.Run, g.Item, g.Sample))
		}
	}
}

// Redrive gives the batches of the chosen dead letters another round, oldest first. It may be
// interrupted anywhere and called again, also by several at once: a batch is taken by one of
// them, and what an interruption left half done is what a Reconciler repairs. While the store or
// the streams are away, refuse writes or have no room, it waits. The report is right also when an
// error ends it.
func (e *Engine) Redrive(ctx context.Context, filter Filter, options RedriveOptions) (RedriveReport, error) {
	r := redrive{Engine: e, options: options, builders: map[string]pipeline.BuildFunc{}, full: outage.Reporter{Quiet: tellFullEvery}}
	if err := options.validate(); err != nil {
		return r.report, err
	}
	for last := uint64(0); ; {
		outage, err := r.through(ctx, filter, &last)
		if err != nil || outage == nil {
			return r.report, err
		}
		if err := r.rest(ctx, outage); err != nil {
			return r.report, err
		}
	}
}

// through goes through the letters that come after the last one. An outage ends it, and is
// returned apart from errors that end the redrive.
func (r *redrive) through(ctx context.Context, filter Filter, last *uint64) (outage, err error) {
	for letter, err := range r.Letters(ctx, filter) {
		switch {
		case err != nil && ctx.Err() == nil && pipeline.IsOutage(err):
			return err, nil
		case err != nil:
			return nil, err
		case letter.Sequence <= *last:
			continue
		}
		*last = letter.Sequence
		r.report.Chosen++
		if err := r.one(ctx, letter, filter.Run != ""); err != nil {
			return nil, err
		}
		if r.options.Progress != nil {
			r.options.Progress(r.report)
		}
		if r.options.Limit > 0 && r.report.Redriven+r.report.Refused >= r.options.Limit {
			break
		}
	}
	return nil, nil
}

// rest says once why the redrive waits, and waits a moment.
func (r *redrive) rest(ctx context.Context, outage error) error {
	if r.away.Begins(outage) {
		r.log.Warn("the redrive waits; nothing is lost, trying again until it works", zap.Error(outage))
	}
	return r.sleep(ctx, r.cfg.Pause)
}

// persist tries a step until it succeeds, a person has to act, or ctx ends. A step whose success
// was not heard of is done again, and changes nothing then.
func (r *redrive) persist(ctx context.Context, step func() error) error {
	for {
		err := step()
		switch {
		case err == nil:
			if r.away.Ends() {
				r.log.Info("the redrive goes on")
			}
			return nil
		case ctx.Err() != nil || !pipeline.IsOutage(err):
			return err
		}
		if r.rest(ctx, err) != nil {
			return err
		}
	}
}

// remove deletes a record.
func (r *redrive) remove(ctx context.Context, sequence uint64) error {
	return r.persist(ctx, func() error { return r.streams.DeleteDeadLetter(ctx, sequence) })
}

// A redrive is one call of Redrive.
type redrive struct {
	*Engine
	options  RedriveOptions
	report   RedriveReport
	builders map[string]pipeline.BuildFunc // by run
	next     time.Time                     // before which no letter is put on the queue
	away     outage.Reporter
	full     outage.Reporter
}

// one decides about a letter. Whether its round is the batch's does not matter: the batch is
// taken as it is. A run that was asked for by name and is not open is an error.
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
	case r.options.DryRun:
		r.count(len(letter.Now.Missing()))
		return nil
	}
	if err := r.pace(ctx); err != nil {
		return err
	}
	return r.take(ctx, letter)
}

func (r *redrive) count(generations int) {
	r.report.Redriven++
	r.report.Generations += generations
}

// take starts a new round of a dead batch, publishes it, and only then removes the record.
func (r *redrive) take(ctx context.Context, letter Letter) error {
	b := letter.Now
	var work pipeline.Work
	err := r.persist(ctx, func() error {
		builder, err := r.builder(ctx, letter.Owner)
		if err == nil {
			work, err = workFor(ctx, builder, b)
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
	finish, cancel := finishing(ctx)
	defer cancel()
	ours := false
	err = r.persist(ctx, func() (err error) {
		ours, err = r.store.Requeue(finish, b.Run, b.Index, pipeline.Dead, b.Round, r.now().UTC())
		return err
	})
	if err != nil {
		return err
	}
	if !ours {
		r.report.Skipped++
		return nil
	}
	err = r.publish(ctx, finish, work)
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

// finishWithin is how long a letter that is taken may go on after an interruption.
const finishWithin = 10 * time.Second

// finishing returns a context for a letter that is taken: an interruption does not end it at
// once, or its batch would have to wait for a reconciler.
func finishing(ctx context.Context) (context.Context, context.CancelFunc) {
	finish, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(finishWithin, cancel) })
	return finish, func() { stop(); cancel() }
}

// builder returns the maker of a run's messages, and sees to it that the run has its queue.
func (r *redrive) builder(ctx context.Context, run pipeline.Run) (pipeline.BuildFunc, error) {
	if builder, ok := r.builders[run.UID]; ok {
		return builder, nil
	}
	if err := r.streams.EnsureRun(ctx, run); err != nil {
		return nil, err
	}
	builder, err := r.newBuild(run)
	if err == nil {
		r.builders[run.UID] = builder
	}
	return builder, err
}

// publish waits while there is no room, but not after an interruption.
func (r *redrive) publish(ctx, finish context.Context, work pipeline.Work) error {
	for {
		err := r.streams.Publish(finish, work)
		switch {
		case errors.Is(err, pipeline.ErrFull):
		case err != nil && ctx.Err() == nil && pipeline.IsOutage(err):
			if err := r.rest(ctx, err); err != nil {
				return err
			}
			continue
		default:
			if r.full.Ends() {
				r.log.Info("the queue takes batches again")
			}
			return err
		}
		if r.full.Begins(err) {
			r.log.Warn("the queue has no room; the redrive waits until it takes batches again, nothing is lost", zap.Error(err))
		}
		if err := r.sleep(ctx, r.cfg.Pause); err != nil {
			return err
		}
	}
}

// pace waits until the rate allows another letter.
func (r *redrive) pace(ctx context.Context) error {
	if r.options.Rate == 0 {
		return nil
	}
	now := r.now()
	if wait := r.next.Sub(now); wait > 0 {
		if err := r.sleep(ctx, wait); err != nil {
			return err
		}
		now = r.next
	}
	r.next = now.Add(time.Duration(float64(time.Second) / r.options.Rate))
	return nil
}
