package command

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/advice"
	"gleaner/internal/cli"
	"gleaner/internal/pipeline"
	"gleaner/internal/producer"
	"gleaner/internal/reconcile"
	"gleaner/internal/status"
	"gleaner/internal/store"
	"gleaner/internal/stream"
	"gleaner/internal/view"
)

// A serving shows what becomes of the runs that are served.
type serving struct {
	t          *cli.Terminal
	store      store.Store
	conn       *stream.Conn
	reconciler *reconcile.Engine
	log        *zap.Logger
	json       bool
	progress   *view.Progress
	mode       string

	mu   sync.Mutex
	runs map[string]*served // by uid
}

// A served run is one that is followed.
type served struct {
	follower *status.Follower // of the goroutine that follows the run
	now      status.Snapshot
	said     string // the last line about it
	word     string // its state then
}

// noRuns says that there is nothing to serve yet.
func (s *serving) noRuns() {
	s.log.Info("there is no run yet: `" + advice.Command("load") + "` makes one, which is then picked up")
}

// Begins is called when a run is followed from now on.
func (s *serving) Begins(run pipeline.Run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs[run.UID] = &served{follower: status.NewFollower(s.conn, nil)}
	s.log.Named(run.Name).Info("followed from now on", zap.Int("generations", run.Generations), zap.String("model", run.Spec.Model))
}

// Looks takes in how far a run is.
func (s *serving) Looks(ctx context.Context, look producer.Look) {
	s.mu.Lock()
	run := s.runs[look.Run.UID]
	s.mu.Unlock()
	now := run.follower.Look(ctx, look.Run, look.Progress, look.Away, time.Now())
	now.Unstored = min(s.reconciler.Unstored(look.Run.Name)*max(1, look.Run.Spec.Batch), look.Run.Generations-look.Progress.Stored)
	s.mu.Lock()
	defer s.mu.Unlock()
	run.now = now
}

// Pauses says that a run is paused because of its failures.
func (s *serving) Pauses(run pipeline.Run, why *producer.TooManyFailures) {
	s.log.Named(run.Name).Warn(fmt.Sprintf("paused: %s; nothing is given up, and the other runs go on. `%s` says why, `%s` lets it go on",
		why.Reason(), advice.Command("status", "--run", run.Name), advice.Command("resume", "--run", run.Name)))
}

// Ends says how a run ended.
func (s *serving) Ends(ctx context.Context, run pipeline.Run, err error, again bool) {
	s.mu.Lock()
	delete(s.runs, run.UID)
	s.mu.Unlock()
	switch log := s.log.Named(run.Name); {
	case again:
		log.Error("cannot be followed; trying again in a minute", zap.Error(err))
	case err != nil:
		log.Info("not followed any more: " + err.Error())
	default:
		s.complete(ctx, run)
	}
}

// complete prints the summary of a run that is complete.
func (s *serving) complete(ctx context.Context, run pipeline.Run) {
	log := s.log.Named(run.Name)
	now, err := status.Take(ctx, s.store, s.conn, run.Name, time.Now())
	if err != nil {
		log.Warn("complete; reading how it ended", zap.Error(err))
		return
	}
	if s.json {
		if err := cli.PrintJSON(s.t.Out, now); err != nil {
			log.Warn("printing how it ended", zap.Error(err))
		}
		return
	}
	fmt.Fprintln(s.t.Out, view.Completed(now))
	if now.Failed > 0 {
		_ = view.Print(s.t.Err, view.Failures(now.Failures, s.t.TalkColumns())) // as all talk
	}
}

const (
	drawEvery = time.Second
	// The log says nothing twice within a minute, so what is said each minute comes a little later.
	reportSlack = 20
)

// show shows the runs, and says now and then what changed, until it is stopped.
func (s *serving) show(ctx context.Context, report time.Duration) (stop func()) {
	reporting := cli.Every(ctx, report+report/reportSlack, s.report)
	if s.mode != cli.ProgressLive && s.mode != cli.ProgressJSON {
		return reporting
	}
	drawing := cli.Every(ctx, drawEvery, func() {
		if s.progress.Due() {
			s.progress.Runs(s.snapshots())
		}
	})
	return func() { drawing(); reporting() }
}

// snapshots returns how far the runs are that were looked at, by name.
func (s *serving) snapshots() (all []status.Snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, run := range s.runs {
		if run.now.Run != "" {
			all = append(all, run.now)
		}
	}
	slices.SortFunc(all, func(a, b status.Snapshot) int { return cmp.Compare(a.Run, b.Run) })
	return all
}

// report says of each run what changed since that was said last: where lines are drawn, its state
// alone.
func (s *serving) report() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, run := range s.runs {
		line, word := view.Line(run.now), run.now.State.String()
		if run.now.Run == "" || line == run.said || s.mode != cli.ProgressPlain && word == run.word {
			continue
		}
		run.said, run.word = line, word
		if run.now.State.Word == status.Running {
			line = word + "  " + line
		}
		s.log.Named(run.now.Run).Info(line)
	}
}
