package producer

import (
	"context"
	"errors"
	"fmt"

	"gleaner/internal/pipeline"
)

// PinStore is the part of the store that knows to which digest a run is pinned.
type PinStore interface {
	Run(ctx context.Context, name string) (pipeline.Run, error)
	Pin(ctx context.Context, run string, engine pipeline.EngineName, from, to string) (pinned string, err error)
	Digests(ctx context.Context, run string) ([]pipeline.DigestCount, error)
}

// PinStreams is the part of the streams that tells consumers to which digest a run is pinned.
type PinStreams interface {
	RunInfo(ctx context.Context, run string) (pipeline.RunInfo, error)
	EnsureRun(ctx context.Context, run pipeline.Run) error
}

// A PinReport says what pinning a run changed.
type PinReport struct {
	Run    string                 `json:"run"`
	Before string                 `json:"before"` // empty: it was not pinned
	Now    string                 `json:"now"`
	Stored []pipeline.DigestCount `json:"stored"`           // the answers that are there already, which stay
	Untold string                 `json:"untold,omitempty"` // why the consumers were not told yet
}

// Others counts the stored answers that are of another digest than the pinned one, or do not say
// it.
func (r PinReport) Others() (others int) {
	for _, c := range r.Stored {
		if r.Now != pipeline.PinAny && c.Digest != r.Now {
			others += c.Answers
		}
	}
	return others
}

// PinRun pins an open run to a digest, as pipeline.ParsePin returns it, and tells its consumers.
// Without streams, or if they are away, the process that follows the run tells them.
func PinRun(ctx context.Context, store PinStore, streams PinStreams, name, digest string) (PinReport, error) {
	run, err := store.Run(ctx, name)
	if err != nil {
		return PinReport{}, err
	}
	if run.State != pipeline.RunOpen {
		return PinReport{}, fmt.Errorf("run %s is %s, and only an open one can be pinned", name, run.State)
	}
	report := PinReport{Run: name, Before: run.Pins[pipeline.Ollama], Now: digest}
	for _, engine := range pipeline.PinEngines() {
		if err := pinEngine(ctx, store, run, engine, digest); err != nil {
			return report, err
		}
	}
	if report.Stored, err = store.Digests(ctx, name); err != nil {
		return report, err
	}
	if streams == nil {
		return report, nil
	}
	if err := tell(ctx, store, streams, name); err != nil {
		report.Untold = err.Error()
	}
	return report, ctx.Err()
}

// pinTries bounds how often a pin is tried that others change at the same time. Sinks set one only
// where there is none.
const pinTries = 10

// pinEngine sets the pin of one engine, whatever it is.
func pinEngine(ctx context.Context, store PinStore, run pipeline.Run, engine pipeline.EngineName, digest string) error {
	from := run.Pins[engine]
	for range pinTries {
		is, err := store.Pin(ctx, run.Name, engine, from, digest)
		if err != nil || is == digest {
			return err
		}
		from = is
	}
	return fmt.Errorf("run %s: others change its pin all the time: try again", run.Name)
}

// tell writes the pins to where the run's consumers read them, if the run is published and not
// complete.
func tell(ctx context.Context, store PinStore, streams PinStreams, name string) error {
	info, err := streams.RunInfo(ctx, name)
	switch {
	case errors.Is(err, pipeline.ErrNoRun):
		return nil
	case err != nil:
		return err
	case info.Complete:
		return nil
	}
	run, err := store.Run(ctx, name)
	if err != nil {
		return err
	}
	return streams.EnsureRun(ctx, run)
}
