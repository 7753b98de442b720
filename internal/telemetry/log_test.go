package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
)

func logTo(t testing.TB, format, level string) (*zap.Logger, *output) {
	t.Helper()
	var out output
	log, err := NewLogger(format, level, &out, false)
	if err != nil {
		t.Fatal(err)
	}
	return log, &out
}

// An output is what a log has written, which may be read while timers write to it.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func TestTheConsoleIsForPeople(t *testing.T) {
	log, out := logTo(t, "", "")
	log.Debug("not shown")
	log.With(zap.String("run", "demo")).Named("sink").Warn("the store\nis away\x1b[2J\u202e",
		zap.Error(errors.New("dial: refused")), zap.Int("waiting", 3), zap.Duration("for", 1234567*time.Microsecond),
		zap.String("empty", ""), zap.Float64("rate", 1.0/3), zap.Bool("again", true), zap.Strings("gpus", []string{"a", "b"}),
		zap.Time("since", time.Unix(0, 0).UTC()), zap.Skip(), zap.Error(nil))
	got := regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d`).ReplaceAllString(out.String(), "HH:MM:SS")
	want := "HH:MM:SS WARN  sink: the store is away\uFFFD[2J\uFFFD" + ` run=demo error="dial: refused" waiting=3 for=1.23s empty=""` +
		` rate=0.333333 again=true gpus="[a b]" since=1970-01-01T00:00:00Z` + "\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLoggersDoNotShareFields(t *testing.T) {
	log, out := logTo(t, "console", "info")
	base := log.With(zap.Int("a", 1))
	_, _ = base.With(zap.Int("b", 2)), base.With(zap.Int("c", 3))
	base.Info("x")
	if want := " INFO  x a=1\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("%q, want %q", out, want)
	}
}

func TestALevelHasItsColour(t *testing.T) {
	c := &console{colour: true}
	if got, want := c.level(zap.ErrorLevel), "\x1b[31mERROR\x1b[0m"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestJSONIsForMachines(t *testing.T) {
	log, out := logTo(t, "json", "debug")
	log.Named("sink").Debug("written", zap.String("run", "demo"), zap.Duration("took", 1500*time.Millisecond))
	var got map[string]any
	if err := json.Unmarshal([]byte(out.String()), &got); err != nil {
		t.Fatal(err)
	}
	if _, err := time.Parse(time.RFC3339, got["ts"].(string)); err != nil {
		t.Error(err)
	}
	delete(got, "ts")
	want := map[string]any{"level": "debug", "logger": "sink", "msg": "written", "run": "demo", "took": 1.5}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestUnknownFormatsAndLevelsAreRefused(t *testing.T) {
	for _, c := range []struct{ format, level, want string }{
		{"xml", "info", `log format "xml" is not known: use console or json`},
		{"json", "loud", `log level "loud" is not known: use debug, info, warn or error`},
	} {
		if _, err := NewLogger(c.format, c.level, nil, false); err == nil || err.Error() != c.want {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}
