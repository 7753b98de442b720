package natsd

import (
	"fmt"
	"strings"
	"sync"
)

// A logger keeps the server's first fatal line, which says why it does not start, notices that the
// disk is full, and passes warnings on.
type logger struct {
	warn func(string)

	mu       sync.Mutex
	first    string
	diskFull bool
}

// wasFull reports whether the server has said that its disk is full.
func (l *logger) wasFull() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.diskFull
}

// aboutFullDisk recognizes what the systems, and the server, say of a full disk. The server says
// it in its log only.
func aboutFullDisk(line string) bool {
	for _, words := range []string{"no space left", "not enough space on the disk", "out of space"} {
		if strings.Contains(line, words) {
			return true
		}
	}
	return false
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
	line := fmt.Sprintf(format, args...)
	if aboutFullDisk(line) {
		l.mu.Lock()
		first := !l.diskFull
		l.diskFull = true
		l.mu.Unlock()
		if !first { // it says so for each message
			return
		}
	}
	if l.warn != nil && !mendsItself(line) {
		l.warn(line)
	}
}

// mendsItself recognizes what the server says after a kill: the index of a stream is older than its
// messages, from which the server makes it again (recoverFullState in filestore.go of NATS 2.15).
func mendsItself(line string) bool {
	return strings.HasPrefix(line, "Filestore [") && !strings.HasSuffix(line, " on write") &&
		(strings.Contains(line, "] Stream state ") || strings.Contains(line, " from index errored"))
}

func (l *logger) Noticef(string, ...any) {}
func (l *logger) Debugf(string, ...any)  {}
func (l *logger) Tracef(string, ...any)  {}
