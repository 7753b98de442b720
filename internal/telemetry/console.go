package telemetry

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"go.uber.org/zap/zapcore"

	"gleaner/internal/text"
)

// A console is a zapcore.Core that writes entries for people: the time of day, the level, the
// message, and the fields as key=value in the order in which they were given.
type console struct {
	zapcore.LevelEnabler
	out    zapcore.WriteSyncer
	colour bool
	fields []zapcore.Field // of the logger
}

func (c *console) With(fields []zapcore.Field) zapcore.Core {
	with := *c
	with.fields = slices.Concat(c.fields, fields)
	return &with
}

func (c *console) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return checked.AddCore(e, c)
	}
	return checked
}

func (c *console) Sync() error { return c.out.Sync() }

func (c *console) Write(e zapcore.Entry, fields []zapcore.Field) error {
	line := e.Time.AppendFormat(nil, time.TimeOnly)
	line = append(line, ' ')
	line = append(line, c.level(e.Level)...)
	line = append(line, ' ')
	if e.LoggerName != "" {
		line = append(append(line, e.LoggerName...), ": "...)
	}
	line = append(line, text.OneLine(text.Printable(e.Message))...)
	for _, f := range c.fields {
		line = appendField(line, f)
	}
	for _, f := range fields {
		line = appendField(line, f)
	}
	_, err := c.out.Write(append(line, '\n'))
	return err
}

// level returns the name of a level, padded to five columns, in its colour.
func (c *console) level(l zapcore.Level) string {
	name := fmt.Sprintf("%-5s", l.CapitalString())
	if !c.colour {
		return name
	}
	colour := 31 // red
	switch l {
	case zapcore.DebugLevel:
		colour = 90 // grey
	case zapcore.InfoLevel:
		colour = 36 // cyan
	case zapcore.WarnLevel:
		colour = 33 // yellow
	}
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", colour, name)
}

// appendField appends a field, which may have several keys, or none.
func appendField(line []byte, f zapcore.Field) []byte {
	values := zapcore.NewMapObjectEncoder()
	f.AddTo(values)
	for _, key := range slices.Sorted(maps.Keys(values.Fields)) {
		if strings.HasSuffix(key, "Verbose") && key == f.Key+"Verbose" {
			continue // the same error again, with its stack
		}
		line = append(append(append(line, ' '), text.Printable(key)...), '=')
		line = append(line, word(values.Fields[key])...)
	}
	return line
}

// word returns a value as one word, or in quotes.
func word(value any) string {
	switch v := value.(type) {
	case time.Duration:
		return rounded(v).String()
	case time.Time:
		return v.Format(time.RFC3339)
	case float64:
		return strconv.FormatFloat(v, 'g', 6, 64)
	}
	s := fmt.Sprint(value)
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r == ' ' || r == '"' || r == '=' || !unicode.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

// rounded rounds a duration to the digits that matter to a reader.
func rounded(d time.Duration) time.Duration {
	switch {
	case d.Abs() >= time.Minute:
		return d.Round(time.Second)
	case d.Abs() >= time.Second:
		return d.Round(10 * time.Millisecond)
	case d.Abs() >= time.Millisecond:
		return d.Round(10 * time.Microsecond)
	}
	return d
}
