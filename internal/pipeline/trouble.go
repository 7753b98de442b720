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
	// Quiet is how long a reason is not told again. It is for what comes and goes all the time, such as a stream that is
	// full again with each batch.
	Quiet time.Duration

	mu   sync.Mutex
	said map[string]time.Time // when each reason was told last
	now  int                  // how many of them this time
}

// Begins says whether a person is to be told of this error.
func (t *Trouble) Begins(err error) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	reason, now := kind(err), time.Now()
	at, told := t.said[reason]
	switch {
	case told && (t.now > 0 || now.Sub(at) < t.Quiet):
		return false
	case t.now >= mostReasons:
		return false
	case t.said == nil || len(t.said) > 10*mostReasons:
		t.said = map[string]time.Time{}
	}
	t.said[reason] = now
	t.now++
	return true
}

// Ends says whether a person is to be told that it is over: only who was told of the trouble is.
func (t *Trouble) Ends() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	told := t.now > 0
	t.now = 0
	if t.Quiet == 0 {
		clear(t.said)
	}
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
