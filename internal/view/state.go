package view

import (
	"fmt"
	"time"

	"gleaner/internal/advice"
	"gleaner/internal/status"
	"gleaner/internal/text"
)

// State says in which state a run is, why, and what lets it go on.
func State(s status.Snapshot) string {
	said := text.OneLine(s.State.Describe())
	if s.State.Word == status.Paused {
		said += fmt.Sprintf(" (`%s` lets it go on)", advice.Command("resume", "--run", s.Run))
	}
	return said
}

// stateSince says the same with how long it has been so, or nothing if the word alone says it all.
func stateSince(s status.Snapshot) string {
	said := State(s)
	switch {
	case s.State.Word == status.Running && s.State.Reason == "":
		return ""
	case s.State.Since.IsZero():
		if said == s.State.String() {
			return ""
		}
		return said
	}
	return fmt.Sprintf("%s, since %s ago", said, Duration(max(0, time.Since(s.State.Since)).Round(time.Second)))
}

// waits reports whether a run makes no answers although it is not at its end.
func waits(s status.Snapshot) bool {
	switch s.State.Word {
	case "", status.Running, status.Complete:
		return false
	}
	return true
}
