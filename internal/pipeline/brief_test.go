package pipeline

import (
	"errors"
	"testing"
	"time"
)

func TestAFailureIsSaidInAFewWords(t *testing.T) {
	for want, err := range map[string]error{
		"empty answer":                 Fail(Degenerate, "generate on http://h: %w", ErrEmpty),
		"it repeats itself":            Fail(Degenerate, "generate on http://h: %w", ErrRepeats),
		"the server answers 500":       Fail(Retryable, "generate: %w", &StatusError{Code: 500, Err: errors.New("<html>")}),
		"too long for the context":     Fail(BadItem, "generate: %w", &ContextError{Err: errors.New("n_ctx")}),
		"the server is busy":           Fail(Retryable, "generate: %w", &BusyError{After: time.Second, Err: errors.New("429")}),
		"the server stalls":            Fail(Retryable, "generate: %w", ErrStalled),
		"cut off":                      Fail(Truncated, "the answer was cut off after 8 tokens"),
		"the server is away or stalls": errors.New("no class"),
	} {
		if got := Brief(err); got != want {
			t.Errorf("%v is said as %q, want %q", err, got, want)
		}
	}
	for _, rule := range Classes() {
		if rule.Brief == "" || len(rule.Brief) >= len(rule.Means) && rule.Class != Undeliverable {
			t.Errorf("class %s is said as %q", rule.Class, rule.Brief)
		}
	}
}
