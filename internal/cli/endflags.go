package cli

import (
	"time"
)

// EndFlags say when work ends by itself.
type EndFlags struct {
	For   time.Duration `placeholder:"11h40m" help:"End in time for this: take no work that would not end by then, by how long batches took so far, and leave the rest for another time."`
	Until string        `placeholder:"TIME" help:"The same for a time of day, such as 07:30, or a date with time, such as 2026-03-01T07:30:00Z."`
}

// Because returns the flag that says when to end, as people type it.
func (e EndFlags) Because() string {
	if e.Until != "" {
		return "--until"
	}
	return "--for"
}

// Deadline returns when work that begins now has to have ended, or zero for never. The error is
// one of usage.
func (e EndFlags) Deadline(now time.Time) (time.Time, error) {
	switch {
	case e.For != 0 && e.Until != "":
		return time.Time{}, Usage("--for and --until say the same: give one of them")
	case e.For < 0:
		return time.Time{}, Usage("--for %s must not be negative", e.For)
	case e.For > 0:
		return now.Add(e.For), nil
	case e.Until == "":
		return time.Time{}, nil
	}
	if at, err := time.Parse(time.RFC3339, e.Until); err == nil {
		if !at.After(now) {
			return time.Time{}, Usage("--until %s is over", e.Until)
		}
		return at, nil
	}
	clock, err := time.Parse("15:04", e.Until)
	if err != nil {
		return time.Time{}, Usage("--until %q is neither a time such as 07:30 nor one such as 2026-03-01T07:30:00Z", e.Until)
	}
	at := time.Date(now.Year(), now.Month(), now.Day(), clock.Hour(), clock.Minute(), 0, 0, now.Location())
	if !at.After(now) {
		at = time.Date(now.Year(), now.Month(), now.Day()+1, clock.Hour(), clock.Minute(), 0, 0, now.Location())
	}
	return at, nil
}
