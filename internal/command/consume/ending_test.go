package consume

import (
	"testing"
	"time"
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
