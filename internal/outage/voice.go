package outage

import (
	"errors"
	"sync"
	"time"
)

// A Voice lets one loop alone say that a server is away that several loops of a process need. The
// part that speaks to the server marks its errors with one. The zero value is ready.
type Voice struct {
	mu      sync.Mutex
	speaker *Loop
	spoke   time.Time // when the speaker last met the outage
}

// speakerLost is after how long a loop that was the first to meet an outage, and has not said that
// it is over, is not heard of any more: it ended meanwhile.
const speakerLost = 5 * time.Minute

// A marked error is one of a server that has a voice.
type marked struct {
	error
	voice  *Voice
	reason string
}

func (m *marked) Unwrap() error { return m.error }

// Mark returns the error with the voice of its server, and the reason by which errors of one outage
// are told apart.
func (v *Voice) Mark(err error, reason string) error { return &marked{err, v, reason} }

// speaks reports whether a loop is the one that says what it has met.
func (v *Voice) speaks(l *Loop) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	if v.speaker == nil || now.Sub(v.spoke) > speakerLost {
		v.speaker = l
	}
	if v.speaker == l {
		v.spoke = now
	}
	return v.speaker == l
}

// over takes in that the outage is over for a loop.
func (v *Voice) over(l *Loop) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.speaker == l {
		v.speaker = nil
	}
}

// reasonOf returns what tells an error from others of the same outage.
func reasonOf(err error) string {
	if m := new(marked); errors.As(err, &m) && m.reason != "" {
		return m.reason
	}
	return withoutDigits(err)
}
