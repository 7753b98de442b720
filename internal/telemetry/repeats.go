package telemetry

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap/zapcore"

	"gleaner/internal/failures"
)

// repeatsEvery is how long a message is not written again.
const repeatsEvery = time.Minute

// mostRepeats bounds the messages that are remembered. What comes beyond is written.
const mostRepeats = 1000

// A repeats is a zapcore.Core that writes a message once a minute, and then how often it came. Two
// messages are the same if they differ in numbers, ids and addresses only, also in their texts and
// errors. What is no trouble, as how far something is, and what ends a program is always written.
type repeats struct {
	zapcore.Core
	fields string // of the logger, as far as they tell messages apart
	seen   *seenMessages
}

// seenMessages are shared by all loggers that write to the same place.
type seenMessages struct {
	mu    sync.Mutex
	byKey map[string]*seenMessage
}

// A seenMessage was written less than a minute ago.
type seenMessage struct {
	count int // how often it came since
	end   *time.Timer
}

func withoutRepeats(core zapcore.Core) zapcore.Core {
	return &repeats{Core: core, seen: &seenMessages{byKey: map[string]*seenMessage{}}}
}

func (r *repeats) With(fields []zapcore.Field) zapcore.Core {
	return &repeats{Core: r.Core.With(fields), fields: r.fields + causes(fields), seen: r.seen}
}

func (r *repeats) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if r.Enabled(e.Level) {
		return checked.AddCore(e, r)
	}
	return checked
}

func (r *repeats) Write(e zapcore.Entry, fields []zapcore.Field) error {
	if e.Level < zapcore.WarnLevel || e.Level > zapcore.ErrorLevel || slices.ContainsFunc(fields, begins) {
		return r.Core.Write(e, fields)
	}
	key := fmt.Sprintf("%d\x00%s\x00%s%s%s", e.Level, e.LoggerName, e.Message, r.fields, causes(fields))
	if r.seen.again(key, func(count int) { r.sayRepeated(e, fields, count) }) {
		return nil
	}
	return r.Core.Write(e, fields)
}

// begins reports whether a field marks a line that says that something is away, see outage.Begins.
func begins(f zapcore.Field) bool { return f.Key == "begins" && f.Type == zapcore.SkipType }

// sayRepeated writes how often a message came in the last minute.
func (r *repeats) sayRepeated(e zapcore.Entry, fields []zapcore.Field, count int) {
	e.Time = time.Now()
	e.Message += " (repeated " + times(count) + " in a minute)"
	_ = r.Core.Write(e, fields) // as zap does where no one asks for the error
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// again counts a message, and reports whether it was written less than a minute ago. Once that
// minute is over say is called if the message came again.
func (s *seenMessages) again(key string, say func(count int)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if seen := s.byKey[key]; seen != nil {
		seen.count++
		return true
	}
	if len(s.byKey) >= mostRepeats {
		return false
	}
	seen := &seenMessage{}
	s.byKey[key] = seen
	seen.end = time.AfterFunc(repeatsEvery, func() {
		s.mu.Lock()
		count := seen.count
		if seen.count = 0; count == 0 {
			delete(s.byKey, key)
		} else {
			seen.end.Reset(repeatsEvery)
		}
		s.mu.Unlock()
		if count > 0 {
			say(count)
		}
	})
	return false
}

// causes returns what tells two messages with these fields apart: texts and errors, without what
// differs where the cause is the same.
func causes(fields []zapcore.Field) string {
	var b strings.Builder
	for _, f := range fields {
		switch value := f.Interface.(type) {
		case error:
			b.WriteString("\x00" + f.Key + "=" + failures.Cause(value.Error()))
		default:
			if f.Type == zapcore.StringType {
				b.WriteString("\x00" + f.Key + "=" + failures.Cause(f.String))
			}
		}
	}
	return b.String()
}
