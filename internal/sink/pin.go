package sink

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"go.uber.org/zap"

	"gleaner/internal/advice"
	"gleaner/internal/pipeline"
	"gleaner/internal/text"
)

// A pinner holds every run to one digest of its model for each engine. A run that is not pinned is
// pinned by the first answer that comes, before any of them is written. The pins are read with the
// run at each flush, so one that a person changes counts from the next flush on.
type pinner struct {
	store Store
	log   *zap.Logger
	seen  map[string]map[pipeline.EngineName]string // the pins of each run when it was last seen, by uid
}

// A pinned is what came of comparing deliveries with the pins of their runs.
type pinned struct {
	good   []delivery
	other  []rejection // of another digest; their batches are marked
	stored []delivery  // of another digest, and answered already, so that nothing needs to be done
	gone   []rejection // fits nothing in the store any more
}

const (
	maxPinnedRuns = 1000 // that a pinner remembers
	maxEngines    = 8    // of one run, so that a consumer that lies cannot make it grow
)

var errEngines = fmt.Errorf("the run has answers of %d engines already", maxEngines)

func newPinner(store Store, log *zap.Logger) *pinner {
	return &pinner{store: store, log: log, seen: map[string]map[pipeline.EngineName]string{}}
}

// split divides deliveries into those of the digest that their run is pinned to and the others. It
// pins what is not pinned yet, and marks the batches of the others. An error comes from the store,
// and the call may be repeated.
func (p *pinner) split(ctx context.Context, found checked) (pinned, error) {
	p.changed(found.runs)
	var held pinned
	var other []rejection
	for _, d := range found.good {
		run := found.runs[d.Body.Run]
		pin, err := p.pin(ctx, &run, d.Body)
		switch {
		case errors.Is(err, pipeline.ErrNoRun):
			held.gone = append(held.gone, rejection{d, refusal{reason: fmt.Sprintf("there is no run %s any more", run.Name), unknown: true}})
			continue
		case errors.Is(err, errEngines):
			held.gone = append(held.gone, rejection{d, refusal{reason: err.Error()}})
			continue
		case err != nil:
			return pinned{}, err
		}
		found.runs[run.Name] = run
		if pin == "" || pin == pipeline.PinAny || pin == d.Body.Digest {
			held.good = append(held.good, d)
			continue
		}
		other = append(other, rejection{d, refusal{reason: p.otherDigest(run, pin, d.Body)}})
	}
	return held, p.mark(ctx, other, &held)
}

// pin returns the digest of which an answer has to be. It pins the run if nothing does yet: of
// several sinks, one wins.
func (p *pinner) pin(ctx context.Context, run *pipeline.Run, r pipeline.Results) (string, error) {
	pin := run.Pin(r.Engine, r.Digest)
	if pin != "" || r.Digest == "" {
		return pin, nil
	}
	if len(run.Pins) >= maxEngines {
		return "", errEngines
	}
	pin, err := p.store.Pin(ctx, run.Name, r.Engine, "", r.Digest)
	if err != nil {
		return "", err
	}
	run.Pins = maps.Clone(run.Pins)
	if run.Pins == nil {
		run.Pins = map[pipeline.EngineName]string{}
	}
	run.Pins[r.Engine] = pin
	p.remember(*run)
	p.log.Info("the run is pinned to the digest of its first answer: no answer of another one becomes part of it",
		zap.String("run", run.Name), zap.String("engine", string(r.Engine)), zap.String("digest", pin), zap.String("consumer", r.Consumer))
	return pin, nil
}

// mark marks the batches of answers of another digest, so that they are generated again.
func (p *pinner) mark(ctx context.Context, other []rejection, held *pinned) error {
	if len(other) == 0 {
		return nil
	}
	batches, err := p.batches(ctx, other)
	if err != nil {
		return err
	}
	for _, x := range other {
		r := x.delivery.Body
		batch := batches[r.ID()]
		if !slices.ContainsFunc(r.Results, func(g pipeline.Result) bool { return !slices.Contains(batch.Done, g.Index) }) {
			held.stored = append(held.stored, x.delivery)
			continue
		}
		// Unless it is planned or queued in this round another one is on its way, or it is at its end.
		if _, err := p.store.Refuse(ctx, r.Run, r.Batch, r.Round); err != nil {
			return err
		}
		held.other = append(held.other, x)
	}
	return nil
}

// batches reads the batches of answers of another digest, by id.
func (p *pinner) batches(ctx context.Context, other []rejection) (map[string]pipeline.Batch, error) {
	indexes := map[string]map[int]bool{}
	for _, x := range other {
		r := x.delivery.Body
		if indexes[r.Run] == nil {
			indexes[r.Run] = map[int]bool{}
		}
		indexes[r.Run][r.Batch] = true
	}
	found := map[string]pipeline.Batch{}
	for run, of := range indexes {
		batches, err := p.store.BatchesAt(ctx, run, slices.Sorted(maps.Keys(of)))
		if err != nil {
			return nil, err
		}
		for _, b := range batches {
			found[b.ID()] = b
		}
	}
	return found, nil
}

// changed says which pins are others than when their runs were last seen: a person has changed
// them.
func (p *pinner) changed(runs map[string]pipeline.Run) {
	for _, run := range runs {
		before, known := p.seen[run.UID]
		for engine, now := range run.Pins {
			if known && before[engine] != now && engine != pipeline.EngineUnsaid {
				p.log.Info("the run is pinned to another digest", zap.String("run", run.Name), zap.String("engine", string(engine)),
					zap.String("before", before[engine]), zap.String("now", now))
			}
		}
		p.remember(run)
	}
}

func (p *pinner) remember(run pipeline.Run) {
	if len(p.seen) >= maxPinnedRuns {
		clear(p.seen)
	}
	p.seen[run.UID] = run.Pins
}

// otherDigest says why an answer does not become part of its run, and what to do about it.
func (p *pinner) otherDigest(run pipeline.Run, pin string, r pipeline.Results) string {
	if r.Digest == "" {
		return fmt.Sprintf("it does not say its digest, and run %s is pinned to %s: update the consumer", run.Name, pin)
	}
	return fmt.Sprintf("it is of digest %s, and run %s is pinned to %s: give that server the run's model%s",
		text.OneLine(r.Digest), run.Name, pin, pipeline.OrPin(advice.Command("pin", "--run", run.Name, r.Digest), r.Engine, r.Digest))
}
