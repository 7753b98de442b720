package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

// Why a consumer ends although nothing has stopped it.
var (
	errComplete = errors.New("the run is complete")
	errIdle     = errors.New("there was no work")
)

const (
	checkEvery = time.Second     // between two checks whether it is time to end
	sayIdle    = 4 * time.Second // without work, after which a consumer says why
	askWithout = time.Minute     // an answer, after which a consumer ends that was idle for too long
)

// askAfter is how long a consumer without work waits between two questions about the run: mostly a
// run is complete a moment after its last work, and each question costs traffic.
func askAfter(idle time.Duration, over bool) time.Duration {
	const first, share, ending = 2 * time.Second, 2, 15 * time.Second
	if over { // it ends, unless something may come yet
		return ending
	}
	return min(max(first, idle/share), AskEvery)
}

// An idleWatch finds out that there is nothing left to do.
type idleWatch struct {
	lanes []*lane
	exit  time.Duration                                   // after which without work it is time to end; 0: never
	stay  bool                                            // a complete run is no reason to end
	info  func(context.Context) (pipeline.RunInfo, error) // see Config; nil: nothing is known of the run
	known func() pipeline.RunInfo                         // the last answer to that, which costs nothing
	told  func() bool                                     // the run was said to be complete a moment ago
	log   *zap.Logger

	because string // why there are no batches, as was said last
	asked   bool   // the queue, since there is no work
}

// Run waits until the run is complete or there was no work for too long, and returns which. What
// rests, or is in the hands of others, may come yet: then it goes on waiting. It returns nil if ctx
// ends first.
func (w *idleWatch) Run(ctx context.Context) (cause error) {
	var asked time.Time
	said := false
	for outage.Sleep(ctx, checkEvery) == nil {
		idle := w.idle()
		if idle < checkEvery {
			w.because, w.asked = "", false
		}
		over := w.exit > 0 && idle >= w.exit
		switch {
		case over && (w.info == nil || !w.canWork()):
			return w.why(idle)
		case w.info != nil && w.stay && !over:
			w.sayWhyItStays(ctx, idle)
			continue
		case w.info == nil || idle < checkEvery || time.Since(asked) < askAfter(idle, over) && !w.told():
			continue
		}
		asked = time.Now()
		info, err := w.info(ctx)
		switch idle := w.idle(); {
		case ctx.Err() != nil || idle < checkEvery: // some came meanwhile
		case err != nil:
			w.log.Debug("asking about the run", zap.Error(err))
			if over && idle >= w.exit+askWithout {
				return w.why(idle)
			}
		case info.Complete && !w.stay:
			return errComplete
		case over && !mayCome(info):
			return w.why(idle)
		case idle >= sayIdle && noBatches(info) != w.because && w.canWork():
			w.say(info)
		case over && !said:
			said = true
			w.log.Info("there was no work for long, but some may come yet", zap.Int("waiting", info.Waiting), zap.Int("held_or_resting", info.Held),
				zap.Int("await_a_second_opinion", info.AwaitOpinion))
		}
	}
	return nil
}

// sayWhyItStays says why there is no work for a consumer that does not end for that. It asks the
// queue once, and then says what others hear of it: such a consumer may wait for days.
func (w *idleWatch) sayWhyItStays(ctx context.Context, idle time.Duration) {
	if idle < sayIdle || !w.canWork() {
		return
	}
	info := w.known()
	if !w.asked {
		var err error
		if info, err = w.info(ctx); err != nil {
			w.log.Debug("asking about the run", zap.Error(err))
			return
		}
		w.asked = true
	}
	if noBatches(info) != w.because {
		w.say(info)
	}
}

// say says why there are no batches, unless some wait.
func (w *idleWatch) say(info pipeline.RunInfo) {
	if w.because = noBatches(info); w.because != "" {
		w.log.Info("no batches: " + w.because)
	}
}

// noBatches says why a consumer gets none, as the queue knows it, or nothing if some wait.
func noBatches(info pipeline.RunInfo) string {
	switch {
	case info.Complete:
		return "the run is complete"
	case info.Paused:
		return "the run is paused"
	case info.Waiting > 0:
		return ""
	case info.Held > 0:
		return "all batches are held by others, or rest after a failure"
	}
	return "waiting until some are published"
}

// mayCome reports whether there is work that this consumer may get yet: what waits, what others
// hold, what rests after a failure, and what is judged once more.
func mayCome(info pipeline.RunInfo) bool {
	return info.Waiting > 0 && !info.Paused || info.Held > 0 || info.AwaitOpinion > 0
}

// idle returns for how long no lane had a batch.
func (w *idleWatch) idle() time.Duration {
	idle := w.lanes[0].idle()
	for _, l := range w.lanes {
		idle = min(idle, l.idle())
	}
	return idle
}

// canWork reports whether any GPU could take work.
func (w *idleWatch) canWork() bool {
	return slices.ContainsFunc(w.lanes, func(l *lane) bool { return l.breaker.Closed() })
}

// why tells a queue without work from GPUs that cannot take any.
func (w *idleWatch) why(idle time.Duration) error {
	if w.canWork() {
		return errIdle
	}
	return fmt.Errorf("no GPU could work for %s, the first one says: %s", idle.Round(time.Second), w.lanes[0].status().Describe())
}

// idle returns for how long the lane had no batch. One whose server is on its way to serving is not
// idle: a model may take longer to come than a consumer waits for work.
func (l *lane) idle() time.Duration {
	if state, _ := l.breaker.State(); l.supervisor != nil && state.Preparing() {
		return 0
	}
	return l.times.Idle()
}
