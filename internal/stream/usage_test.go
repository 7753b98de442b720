package stream

import "testing"

func TestAStreamIsFullWhenAMessageOfTheUsualSizeDoesNotFit(t *testing.T) {
	for _, c := range []struct {
		what string
		u    streamUsage
		full bool
	}{
		{"nothing is known", streamUsage{}, false},
		{"empty", streamUsage{max: 4096}, false},
		{"half full of small messages", streamUsage{bytes: 2048, max: 4096, messages: 100}, false},
		{"hardly a tenth is left", streamUsage{bytes: 3700, max: 4096, messages: 100}, true},
		{"more than a tenth is left, and less than a message takes", streamUsage{bytes: 3540, max: 4096, messages: 6}, true},
		{"one large message", streamUsage{bytes: 1500, max: 4096, messages: 1}, false},
	} {
		if got := c.u.full(); got != c.full {
			t.Errorf("%s: full is %v", c.what, got)
		}
	}
}
