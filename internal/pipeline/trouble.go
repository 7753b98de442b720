package pipeline

import (
	"strings"
	"sync"
	"time"
	"unicode"
)

// mostReasons bounds how many reasons of one trouble are worth a line.
const mostReasons = 5

// A Trouble is something outside that keeps a program waiting: a store that is away, a stream that is full. It decides
// what a person is told of it: each reason once, however often it is met and by however many goroutines, and once
// that it is over. It may be used by many goroutines; the zero value is ready.
type Trouble struct {
	// Quiet is how long nothing more is told after a trouble was. It is for what comes and goes all the time, such as a
	// stream that is full again with each batch.
	Quiet time.Duration

	mu    sync.Mutex
	said  map[string]bool
	begun time.Time // when a trouble was told last
}

// Begins says whether a person is to be told of this error.
func (t *Trouble) Begins(err error) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	reason := kind(err)
	if t.said[reason] || len(t.said) >= mostReasons {
		return false
	}
	now := time.Now()
	if len(t.said) == 0 && !t.begun.IsZero() && now.Sub(t.begun) < t.Quiet {
		return false
	}
	if t.said == nil {
		t.said = map[string]bool{}
	}
	t.said[reason], t.begun = true, now
	return true
}

// Ends says whether a person is to be told that it is over: only who was told of the trouble is.
func (t *Trouble) Ends() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	told := len(t.said) > 0
	clear(t.said)
	return told
}

// kind returns an error's text without what differs each time, as ports, sizes and ids do.
func kind(err error) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return -1
		}
		return r
	}, err.Error())
}
