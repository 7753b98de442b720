package sink

import (
	"context"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/pipeline"
)

// IdlePull is how long a pull waits for the first results after a quiet moment. Each costs traffic,
// and the first result ends it.
const IdlePull = 2 * time.Minute

// moveResults runs until ctx ends.
func (s *Sink) moveResults(ctx context.Context) {
	reading := s.reading("results")
	quiet := false
	for ctx.Err() == nil {
		most, wait := s.cfg.FlushMessages, s.cfg.FlushEvery
		if quiet {
			most, wait = 1, max(wait, IdlePull) // the first result ends the wait, and those that follow are collected as usual
		}
		deliveries, err := s.source.Results(ctx, most, wait)
		quiet = err == nil && len(deliveries) == 0
		observe(ctx, reading, err)
		if len(deliveries) > 0 {
			s.flush(ctx, deliveries)
		}
	}
}

// flush writes what was delivered to the store, however long that takes, and acknowledges it.
func (s *Sink) flush(ctx context.Context, deliveries []delivery) {
	started := time.Now()
	stop := renewLeases(ctx, s.log, s.cfg.ExtendEvery, deliveries)
	defer stop()

	good := s.admit(ctx, deliveries)
	if len(good) == 0 {
		return
	}
	results := make([]pipeline.Results, len(good))
	for i, d := range good {
		results[i] = d.Body
	}
	var written pipeline.Written
	ok := s.persist(ctx, "writing results to the store", func() error {
		var err error
		written, err = s.store.WriteResults(ctx, results, time.Now().UTC())
		return err
	})
	if !ok {
		return
	}
	s.count(written, results)
	acknowledge(ctx, s.log, good)
	s.cfg.Metrics.flushed(written, time.Since(started), results)
	s.log.Debug("results stored", zap.Int("new", written.New), zap.Int("duplicate", written.Duplicate), zap.Duration("took", time.Since(started)))
}

// admit returns the deliveries that are to be stored. The others it settles: those that fit nothing
// in the store, those that come without their token, and those of another digest than their run is
// pinned to.
func (s *Sink) admit(ctx context.Context, deliveries []delivery) []delivery {
	var found checked
	ok := s.persist(ctx, "checking results", func() (err error) {
		found, err = s.check.split(ctx, deliveries)
		return err
	})
	if !ok {
		return nil
	}
	s.dismiss(ctx, s.rejected, found.bad)
	forged := make([]round, len(found.forged))
	for i, x := range found.forged {
		forged[i] = round{x.delivery.Body.Run, x.delivery.Body.Batch, x.delivery.Body.Round}
	}
	if !s.persist(ctx, "writing results to the store", func() error { return markRefused(ctx, s.store, forged) }) {
		return nil
	}
	s.dismiss(ctx, s.forged, found.forged)
	var held pinned
	ok = s.persist(ctx, "writing results to the store", func() (err error) {
		held, err = s.pins.split(ctx, found)
		return err
	})
	if !ok {
		return nil
	}
	acknowledge(ctx, s.log, held.stored)
	s.dismiss(ctx, s.rejected, held.gone)
	s.dismiss(ctx, s.refused, held.other)
	return held.good
}

// dismiss removes messages from the stream that can never be stored. First it makes sure that the
// stream is still this store's: another one may know the run. What is of no known run is handed
// back the first time that it comes, so that the comparison begins after it came again.
func (s *Sink) dismiss(ctx context.Context, as *rejections, bad []rejection) {
	var early, late []rejection
	for _, x := range bad {
		if x.unknown && x.delivery.Deliveries < 2 {
			early = append(early, x)
		} else {
			late = append(late, x)
		}
	}
	if len(late) > 0 && !s.owned(ctx) {
		early, late = bad, nil
	}
	for _, x := range early {
		if err := x.delivery.HandBack(ctx, s.lease()); err != nil {
			s.log.Debug("handing results back", zap.Error(err))
		}
	}
	as.reject(ctx, late)
}

// owned reports whether the streams are certainly this store's.
func (s *Sink) owned(ctx context.Context) bool {
	if s.cfg.Compare == nil {
		return true
	}
	err := s.cfg.Compare(ctx)
	if err != nil && ctx.Err() == nil {
		s.log.Warn("nothing is removed from the streams, because it is not certain whose they are", zap.Error(err))
	}
	return err == nil
}

// lease is how long results and dead letters stay with a sink.
func (s *Sink) lease() time.Duration { return 3 * s.cfg.ExtendEvery }

func (s *Sink) count(w pipeline.Written, results []pipeline.Results) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wroteAt, s.lag = time.Now(), 0
	for _, m := range results {
		if len(m.Results) > 0 { // the last one is made just before the message
			s.lag = max(s.lag, s.wroteAt.Sub(m.Results[len(m.Results)-1].CreatedAt))
		}
	}
	s.written.New += w.New
	s.written.Duplicate += w.Duplicate
}
