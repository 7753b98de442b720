package natsd

import (
	"fmt"
	"sync"
)

// A logger keeps the server's first fatal line, which says why it does not start, and passes
// warnings on.
type logger struct {
	warn func(string)

	mu    sync.Mutex
	first string
}

func (l *logger) fatal() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first
}

// Fatalf does not end the process, as the server's own logger would.
func (l *logger) Fatalf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == "" {
		l.first = fmt.Sprintf(format, args...)
	}
}

func (l *logger) Errorf(format string, args ...any) { l.Warnf(format, args...) }

func (l *logger) Warnf(format string, args ...any) {
	if l.warn != nil {
		l.warn(fmt.Sprintf(format, args...))
	}
}

func (l *logger) Noticef(string, ...any) {}
func (l *logger) Debugf(string, ...any)  {}
func (l *logger) Tracef(string, ...any)  {}
