package pipeline

import "time"

// A RunPause is a time in which no batch of a run is handed out. The store's run has the last one.
type RunPause struct {
	Since  time.Time  `json:"since"`
	Ended  time.Time  `json:"ended,omitzero"` // zero: it goes on
	Cause  PauseCause `json:"cause,omitempty"`
	Reason string     `json:"reason,omitempty"` // in words for people; may be empty
}

// A PauseCause says who paused a run, and so who lets it go on.
type PauseCause string

// The causes of a pause.
const (
	// PausedByPerson lasts until a person resumes the run.
	PausedByPerson PauseCause = "person"
	// PausedByFailures ends when the run is resumed, or when it is followed again: the
	// person who gives the command again has seen why it ended.
	PausedByFailures PauseCause = "failures"
)

// Paused reports whether the run is paused, as the store says.
func (r Run) Paused() bool { return r.Pause != nil && r.Pause.Ended.IsZero() }

// PausedAs returns when the run's last pause began, by which it is known, or the zero time.
func (r Run) PausedAs() time.Time {
	if r.Pause == nil {
		return time.Time{}
	}
	return r.Pause.Since
}
