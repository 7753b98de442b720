package consumer

import (
	"context"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

// nextPause is the time before work is asked for again after an error.
const nextPause = time.Second

// A worker leads one batch after the other from the source through its lane to the collector. Each
// lane has several, so that some generate while others publish and fetch.
type worker struct {
	source    *source
	lane      *lane
	collector *collector
	cutoff    time.Time // see Config.cutoff
}

// run takes batches until taking ends. The one that is in hand then goes on until working ends.
func (w *worker) run(taking, working context.Context) {
	for again := true; again && w.lane.batches.Acquire(taking) == nil; {
		again = w.turn(taking, working)
		w.lane.batches.Release()
	}
}

// turn does one batch, if it gets one, and reports whether the worker is to go on.
func (w *worker) turn(taking, working context.Context) (again bool) {
	ticket, err := w.lane.breaker.Admit(taking)
	if err != nil {
		return false
	}
	var failure error
	defer func() { ticket.Done(failure) }()
	if taking.Err() != nil || !w.lane.reserve(w.cutoff) {
		return false
	}
	delivery, failure := w.source.Next(taking)
	admitted := ticket.Valid()
	end, fits := w.lane.start(w.cutoff, failure == nil && admitted && taking.Err() == nil)
	switch {
	case taking.Err() != nil:
		if failure == nil {
			w.collector.HandBack(working, delivery, 0)
		}
		failure = nil // that of a stop says nothing about the GPU
		return false
	case opensBreaker(failure): // when the ticket is given back
	case failure != nil:
		w.lane.log.Error("taking work", zap.Error(failure))
		outage.Sleep(taking, nextPause)
	case !admitted: // since it was asked for
		w.collector.HandBack(working, delivery, outage.Jitter(w.collector.rest))
	case !fits: // it came late
		w.collector.HandBack(working, delivery, 0)
		return false
	default:
		end(w.batch(working, delivery))
	}
	return true
}

// batch takes a delivery to its end and reports whether the batch is done.
func (w *worker) batch(ctx context.Context, delivery pipeline.Delivery[pipeline.Work]) (done bool) {
	if delivery.Err != nil {
		w.collector.Unreadable(ctx, delivery)
		return false
	}
	delivery = w.source.renewLease(ctx, delivery)
	return w.collector.Collect(ctx, delivery, w.lane.Generate(ctx, delivery))
}
