package outage

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"gleaner/internal/pipeline"
)

// A Loop tries something until it succeeds, and logs when it has to wait. It may be used again. Do
// is for one goroutine at a time, Observe for any number.
type Loop struct {
	Log    *zap.Logger
	Away   string      // logged as a warning, with the error, once for each reason
	Back   string      // logged once it works again, unless it is empty
	Fields []zap.Field // of both log lines

	// Wait is the time between two tries. Nil means 100 ms at first and 10 s at most.
	Wait *Backoff
	// Pause waits between two tries in place of Wait. It is for a caller with its own clock.
	Pause func(ctx context.Context) error
	// Stops reports whether an error ends the loop. Nil means that every error ends it except for
	// an outage, see pipeline.IsOutage.
	Stops func(err error) bool
	// Reporter decides what is logged. Nil means that the loop uses its own. Goroutines that wait
	// for the same thing share one.
	Reporter *Reporter

	own   Reporter
	voice atomic.Pointer[Voice] // of the server whose outage this loop has said
}

// Do calls try until it succeeds, returns an error that ends the loop, or ctx ends. It returns nil,
// that error or ctx's error.
func (l *Loop) Do(ctx context.Context, try func(ctx context.Context) error) error {
	wait := l.Wait
	if wait == nil {
		wait = NewBackoff(100*time.Millisecond, 10*time.Second)
	}
	pause := l.Pause
	if pause == nil {
		pause = wait.Sleep
	}
	for {
		err := try(ctx)
		switch {
		case err == nil:
			wait.Reset()
			l.Observe(nil)
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case l.ends(err):
			return err
		}
		l.Observe(err)
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// Observe logs the outcome of a try: an error means that something is away, nil that it is back. It
// is for callers that try again on their own schedule. Where another loop has said already that the
// server of the error is away (see Voice), this one says nothing.
func (l *Loop) Observe(err error) {
	reporter := l.Reporter
	if reporter == nil {
		reporter = &l.own
	}
	if m := new(marked); errors.As(err, &m) {
		if !m.voice.speaks(l) {
			return
		}
		l.voice.Store(m.voice)
	} else if err == nil {
		if voice := l.voice.Swap(nil); voice != nil {
			voice.over(l)
		}
	}
	switch {
	case err != nil && reporter.Begins(err):
		l.Log.Warn(l.Away, append(l.Fields[:len(l.Fields):len(l.Fields)], zap.Error(err), Begins())...)
	case err == nil && reporter.Ends() && l.Back != "":
		l.Log.Info(l.Back, l.Fields...)
	}
}

func (l *Loop) ends(err error) bool {
	if l.Stops != nil {
		return l.Stops(err)
	}
	return !pipeline.IsOutage(err)
}

// Begins marks a log line that says once that something is away: another time it is no repetition.
// It is a field that is not written.
func Begins() zap.Field { return zap.Field{Key: "begins", Type: zapcore.SkipType} }
