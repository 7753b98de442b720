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
	peers     []*lane // the other lanes of this process
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
	asking, asked := taking, func() {}
	if !ticket.probe { // there is only one of those anyway
		asking, asked = w.lane.yield.Ask(taking)
		defer asked()
	}
	if taking.Err() != nil || !w.lane.reserve(w.cutoff) {
		return false
	}
	delivery, failure := w.source.Next(asking, w.lane.passed)
	outOfTheWay := failure != nil && asking.Err() != nil && taking.Err() == nil
	asked()
	admitted, stopped := ticket.Valid(), taking.Err() != nil
	end, fits := w.lane.start(w.cutoff, failure == nil && admitted && !stopped)
	switch {
	case stopped:
		if failure == nil {
			w.collector.HandBack(working, delivery, 0)
		}
		failure = nil // that of a stop says nothing about the GPU
		return false
	case outOfTheWay:
		failure = nil
	case opensBreaker(failure): // when the ticket is given back
	case failure != nil:
		w.lane.log.Error("taking work", zap.Error(failure))
		outage.Sleep(taking, nextPause)
	case !admitted: // since it was asked for
		w.collector.Refuse(working, delivery, ticket.Stopped())
	case !fits: // it came late
		w.collector.HandBack(working, delivery, 0)
		return false
	default:
		end(w.batch(working, delivery, ticket))
	}
	return true
}

// batch takes a delivery to its end and reports whether the batch is done.
func (w *worker) batch(ctx context.Context, delivery pipeline.Delivery[pipeline.Work], ticket *ticket) (done bool) {
	defer w.lane.inHand.Take(delivery.Body)()
	switch {
	case delivery.Err != nil:
		w.collector.Unreadable(ctx, delivery)
		return false
	case w.lane.run.foreign(delivery.Body.UID):
		w.foreign(ctx, delivery)
		return false
	case !w.lane.judges(delivery):
		w.passOn(ctx, delivery)
		return false
	}
	return w.collector.Collect(ctx, delivery, w.lane.Generate(ctx, delivery, ticket))
}

// foreign takes a message of another run with the same name off the queue if that one was deleted,
// and hands it back if it is this consumer whose run was.
func (w *worker) foreign(ctx context.Context, delivery pipeline.Delivery[pipeline.Work]) {
	info, err := w.lane.run.Ask(ctx)
	if err != nil || w.lane.run.foreign(info.UID) {
		w.collector.HandBack(ctx, delivery, 0)
		return
	}
	w.collector.remove(ctx, delivery, "it is of another load of the run")
}

const (
	judgeAlone  = 4                 // deliveries of a message, from which on any lane judges it where no other serves
	judgeAnyway = maxDeliveries - 3 // the same where another serves; before the message is given up
	passSoon    = 10                // deliveries, after which those that may judge it seem to have no time
	passWithin  = time.Second       // that a lane takes which has nothing to do
)

// passDelay is for how long a message rests that no lane here may judge. While another GPU serves
// it is soon there, because this lane yields: if it comes here nevertheless, the other one is busy.
func passDelay(deliveries int, othersServe bool) time.Duration {
	const soon, first, most = time.Second, 5 * time.Second, 30 * time.Second
	switch {
	case othersServe && deliveries < passSoon:
		return soon
	case othersServe:
		return min(first<<(deliveries-passSoon), most)
	case deliveries > 1:
		return most
	}
	return first
}

// passOn gives a batch to a lane of this process that may judge it and has nothing to do, or hands
// it back, for one of another process.
func (w *worker) passOn(ctx context.Context, delivery pipeline.Delivery[pipeline.Work]) {
	var able []*lane
	for _, peer := range w.peers {
		if peer.breaker.Closed() && peer.judges(delivery) {
			able = append(able, peer)
		}
	}
	for _, peer := range able {
		timer := time.NewTimer(passWithin / time.Duration(len(able)))
		select {
		case peer.passed <- delivery:
			timer.Stop()
			return
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	others := w.lane.breaker.othersServe()
	delay := passDelay(delivery.Deliveries, others)
	if others {
		w.lane.yield.Passed(delay)
	}
	w.collector.handBackLater(ctx, delivery, delay, "another GPU has to try it")
}

// judges reports whether the lane may work on a batch: it has not judged it before, and its context
// is not known to be too small. If it came back several times, any lane may: late while another GPU
// serves the run, since an idle lane's pulls are served in turn with those of the one that is
// wanted.
func (l *lane) judges(delivery pipeline.Delivery[pipeline.Work]) bool {
	if delivery.Deliveries >= judgeAnyway || delivery.Deliveries >= judgeAlone && !l.breaker.othersServe() {
		return true
	}
	for _, judge := range delivery.Body.Judged {
		if judge == l.id {
			return false
		}
	}
	context := l.contextLength()
	return context == 0 || delivery.Body.Needs <= context
}
