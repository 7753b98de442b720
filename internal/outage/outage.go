// Package outage waits for a store, a stream or a server that is away. It tries again with backoff
// and jitter, logs once that it is away and once that it is back, and stops with its context.
package outage

import (
	"strings"
	"sync"
	"time"
	"unicode"
)

// mostReasons bounds how many reasons of one outage are reported.
const mostReasons = 5

// A Reporter decides which errors of an outage are worth reporting: each reason once, no matter how
// often it occurs and in how many goroutines, and once that the outage is over. It may be used by
// many goroutines. The zero value is ready.
type Reporter struct {
	// Quiet is how long a reason is not reported again, even if the outage ended in between. It is
	// for conditions that come and go, such as a stream that is full again with each batch.
	Quiet time.Duration

	mu       sync.Mutex
	reported map[string]time.Time // when each reason was reported last
	current  int                  // reasons reported since the outage began
}

// Begins reports whether this error is worth reporting. It counts the error as reported then.
func (r *Reporter) Begins(err error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	reason, now := reasonOf(err), time.Now()
	at, known := r.reported[reason]
	switch {
	case known && (r.current > 0 || now.Sub(at) < r.Quiet):
		return false
	case r.current >= mostReasons:
		return false
	case r.reported == nil || len(r.reported) > 10*mostReasons:
		r.reported = map[string]time.Time{}
	}
	r.reported[reason] = now
	r.current++
	return true
}

// Ends ends the outage, and reports whether its end is worth reporting: only if an error of it was.
func (r *Reporter) Ends() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	reported := r.current > 0
	r.current = 0
	if r.Quiet == 0 {
		clear(r.reported)
	}
	return reported
}

// withoutDigits returns an error's text without ports, sizes and other numbers, which differ each
// time for the same reason.
func withoutDigits(err error) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return -1
		}
		return r
	}, err.Error())
}
