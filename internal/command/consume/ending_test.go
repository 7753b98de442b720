package consume

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestTheDeadlineIsReadAsPeopleSayIt(t *testing.T) {
	now := time.Date(2026, 3, 1, 20, 0, 0, 0, time.FixedZone("here", 3600))
	for until, want := range map[string]time.Duration{
		"20:30":                3 * time.Hour / 6,
		"07:30":                11*time.Hour + 30*time.Minute,
		"20:00":                24 * time.Hour,
		"2026-03-01T20:00:00Z": time.Hour,
	} {
		at, err := endingFlags{Until: until}.deadline(now)
		if err != nil || at.Sub(now) != want {
			t.Errorf("until %s: in %s, %v; want %s", until, at.Sub(now), err, want)
		}
	}
	if at, err := (endingFlags{For: 11*time.Hour + 40*time.Minute}).deadline(now); err != nil || at.Sub(now) != 700*time.Minute {
		t.Errorf("for 11h40m: %s, %v", at, err)
	}
	if at, err := (endingFlags{}).deadline(now); err != nil || !at.IsZero() {
		t.Errorf("without a word: %s, %v", at, err)
	}
}

func TestTheLogSaysWhenTheConsumerWillEnd(t *testing.T) {
	now := time.Date(2026, 3, 1, 20, 0, 0, 0, time.FixedZone("CET", 3600))
	for name, c := range map[string]struct {
		flags endingFlags
		want  map[string]any
	}{
		"for":               {endingFlags{For: 700 * time.Minute}, map[string]any{"at": "2026-03-02 07:40:00 CET", "in": 700 * time.Minute, "because_of": "--for"}},
		"until, in a zone":  {endingFlags{Until: "2026-03-01T20:00:00Z"}, map[string]any{"at": "2026-03-01 21:00:00 CET", "in": time.Hour, "because_of": "--until"}},
		"until, in the day": {endingFlags{Until: "07:30"}, map[string]any{"at": "2026-03-02 07:30:00 CET", "in": 690 * time.Minute, "because_of": "--until"}},
		"never":             {endingFlags{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			core, said := observer.New(zapcore.InfoLevel)
			deadline, err := c.flags.deadline(now)
			if err != nil {
				t.Fatal(err)
			}
			c.flags.sayEnd(zap.New(core), deadline, now)
			var got map[string]any
			for _, entry := range said.All() {
				got = entry.ContextMap()
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
