// Package outage waits for what is away: a store, a stream, a server. It tries again, says once
// that something is away and once that it is back, backs off with jitter, and stops with its
// context.
package outage

import (
	"strings"
	"sync"
	"time"
	"unicode"
)

// mostReasons bounds how many reasons of one outage are worth a line.
const mostReasons = 5

// A Reporter decides what a person hears of an outage: each reason once, however often it is met
// and by however many goroutines, and once that it is over. It may be used by many goroutines.
// The zero value is ready.
type Reporter struct {
	// Quiet is how long a reason is not reported again. It is for what comes and goes all the time,
	// such as a stream that is full again with each batch.
	Quiet time.Duration

	mu       sync.Mutex
	reported map[string]time.Time // when each reason was reported last
	current  int                  // reasons reported since the outage began
}

// Begins reports whether a person is to hear of this error.
func (r *Reporter) Begins(err error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	reason, now := withoutDigits(err), time.Now()
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

// Ends reports whether a person is to hear that the outage is over: only if it was reported.
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

// withoutDigits returns an error's text without what differs each time, as ports, sizes and ids do.
func withoutDigits(err error) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return -1
		}
		return r
	}, err.Error())
}
