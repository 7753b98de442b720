package ownership

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/pipeline"
)

// A TakeOver says what is on streams that a store takes from another one.
type TakeOver struct {
	From string    `json:"from"` // the other store; empty if there is nothing to take
	Runs []RunOver `json:"runs"` // all that are on the queue
	Done bool      `json:"done"`
}

// A RunOver is a run on the queue.
type RunOver struct {
	Run       string `json:"run"`
	Mine      bool   `json:"mine"`      // it is one of this store, and stays
	Waiting   int    `json:"waiting"`   // batches that wait
	Held      int    `json:"held"`      // batches that a worker holds
	Consumers int    `json:"consumers"` // that are present
}

// heldFor is after how many leases without a delivery a batch that was handed out has no holder any
// more, unless its consumer is present: presence lasts as long.
const heldFor = 3

// TakeOver takes the streams from another store: it removes the runs of the other one and writes
// the own id. Without do it changes nothing. It is refused while a batch is held or a consumer is
// present: then the other store is in use.
func (g *Guard) TakeOver(ctx context.Context, do bool) (report TakeOver, err error) {
	report, err = g.onStreams(ctx)
	if err != nil || report.From == "" {
		return report, err
	}
	for _, run := range report.Runs {
		if run.Held > 0 || run.Consumers > 0 {
			return report, fmt.Errorf("the streams of %s are in use: run %s has %d held batches and %d consumers: end its consumers and wait for three leases, then try again",
				report.From, run.Run, run.Held, run.Consumers)
		}
	}
	if !do {
		return report, nil
	}
	return report, g.take(ctx, &report)
}

// Seize does the same although the streams may be in use. It is for a server that no other program
// can reach.
func (g *Guard) Seize(ctx context.Context) error {
	report, err := g.onStreams(ctx)
	if err != nil || report.From == "" {
		return err
	}
	return g.take(ctx, &report)
}

// take writes the id first, so that the programs of the other store end before their runs are gone.
func (g *Guard) take(ctx context.Context, report *TakeOver) error {
	me, err := g.store.MakeIdentity(ctx)
	if err != nil {
		return err
	}
	g.streams.Own(me)
	if err := g.streams.WriteOwner(ctx, true); err != nil {
		return err
	}
	g.refused.Store(nil)
	now := fresh{began: time.Now(), connections: g.streams.Connections()}
	g.fresh.Store(&now)
	for _, run := range report.Runs {
		if run.Mine {
			continue
		}
		if err := g.streams.RemoveRun(ctx, run.Run); err != nil {
			return err
		}
	}
	report.Done = true
	g.log.Info("took the streams from another store", zap.String("from", report.From), zap.Int("runs", len(report.Runs)))
	return nil
}

// onStreams returns what is on the streams, with From set if they are another store's.
func (g *Guard) onStreams(ctx context.Context) (report TakeOver, err error) {
	_, err = g.compare(ctx, false)
	if err == nil {
		return report, nil
	}
	if !errors.Is(err, pipeline.ErrOtherStore) {
		return report, err
	}
	me, err := g.store.Identity(ctx)
	if err != nil {
		return report, err
	}
	owners, err := g.streams.Owners(ctx, false)
	if err != nil {
		return report, err
	}
	report.From = "another store"
	for _, owner := range owners {
		if owner.ID != "" && owner.ID != me.ID {
			report.From = nameOf(me, owner.StoreIdentity)
		}
	}
	consumers, err := g.streams.Consumers(ctx)
	if err != nil {
		return report, err
	}
	runs, err := g.streams.Runs(ctx)
	if err != nil {
		return report, err
	}
	for _, info := range runs {
		over := RunOver{Run: info.Run, Waiting: info.Waiting}
		if over.Mine, err = g.knows(ctx, info); err != nil {
			return report, err
		}
		if info.Quiet > 0 && info.Quiet < heldFor*info.Lease {
			over.Held = info.Held
		}
		for _, c := range consumers {
			if c.Run == info.Run {
				over.Consumers++
			}
		}
		report.Runs = append(report.Runs, over)
	}
	return report, nil
}
