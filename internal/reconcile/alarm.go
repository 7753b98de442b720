package reconcile

import (
	"time"

	"go.uber.org/zap"

	"gleaner/internal/pipeline"
)

const (
	// A batch that is lost for the third time was not lost by chance.
	suspectRepairs = 3
	// More than one of this many batches, within this time, is more than servers lose by chance.
	suspectPart = 20
	alarmWithin = 10 * time.Minute
)

// An alarm says at error level that more is repaired than servers lose by chance, and what is
// likely to be the reason. Each of its two sentences comes at most once in ten minutes.
type alarm struct {
	repairs map[int]int // of each batch
	recent  []time.Time // repairs within ten minutes, oldest first
	again   time.Time   // when a batch that is lost again and again may be said next
	many    time.Time   // the same of very many batches
}

func newAlarm() *alarm { return &alarm{repairs: map[int]int{}} }

// repaired counts the repair of a batch.
func (a *alarm) repaired(log *zap.Logger, now time.Time, run pipeline.Run, b pipeline.Batch) {
	a.repairs[b.Index]++
	for len(a.recent) > 0 && now.Sub(a.recent[0]) > alarmWithin {
		a.recent = a.recent[1:]
	}
	a.recent = append(a.recent, now)
	if n := a.repairs[b.Index]; n >= suspectRepairs && !now.Before(a.again) {
		a.again = now.Add(alarmWithin)
		log.Error("a batch is lost again and again. Most likely something takes messages off the streams that are not its own: "+
			"a sink of another store or of an earlier version on this NATS account, or a consumer's key that acknowledges what it does not hold. "+
			"End that program, or give it a NATS account of its own", zap.String("batch", b.ID()), zap.Int("repaired", n))
	}
	if len(a.recent)*suspectPart > run.Batches && !now.Before(a.many) {
		a.many = now.Add(alarmWithin)
		log.Error("more than 5 % of the run had to be repaired within ten minutes. Most likely NATS has lost what was on its streams: "+
			"it was started without its disk, or from a copy. If this goes on, something takes messages off the streams: "+
			"a sink of another store or of an earlier version on this NATS account",
			zap.String("run", run.Name), zap.Int("repaired", len(a.recent)), zap.Int("batches", run.Batches))
	}
}
