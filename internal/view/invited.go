package view

import (
	"strings"
	"time"

	"gleaner/internal/invite/sign"
	"gleaner/internal/text"
)

// Invited says what is in an invitation and who ends it, in lines of at most this many columns. The
// invitation itself is not in it.
func Invited(m *sign.Made, columns int) string {
	until := m.Expires.Format("2006-01-02 15:04 MST")
	model := ""
	if m.Model != "" {
		model = ", model " + m.Model
	}
	lines := []string{"The invitation is for run " + m.Run + model + ", at " + m.NATS + ", until " + until + "."}
	switch {
	case m.User != "":
		lines = append(lines, "The server ends it then. Its user is "+m.User+", "+m.PublicKey+": revoke that key to end it before.")
	case m.Ends == sign.ByServer:
		lines = append(lines, "The server ends it then, for so do the credentials, which is before the time of --for.")
	default:
		words := "Only the helper's own program ends it then: user and password stay good."
		if m.PublicKey != "" {
			words = "Only the helper's own program ends it then: the credentials have no end."
		}
		if !m.CredsEnd.IsZero() {
			words = "Only the helper's own program ends it then: the credentials themselves end on " + m.CredsEnd.Format(time.DateOnly) + "."
		}
		lines = append(lines, words+" Have the server end them if someone leaves the team.")
	}
	switch {
	case !m.Tried:
		lines = append(lines, "It was not tried.")
	case m.Model == "":
		lines = append(lines, "Run "+m.Run+" is not published yet: the helper waits for it.")
	}
	if m.Here {
		lines = append(lines, "Warning: the address is of this machine alone, and no other reaches it. Give the one that helpers reach with --nats-url.")
	}
	if m.More {
		lines = append(lines, "Warning: who has it may do the operator's work, too.")
	}
	lines = append(lines, "It is a secret. A helper puts it into the secret GLEANER_INVITE of a notebook, or into that variable.")
	var b strings.Builder
	for _, line := range lines {
		for _, part := range text.Fold(line, columns) {
			b.WriteString(part + "\n")
		}
	}
	return b.String()
}
