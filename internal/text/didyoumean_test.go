package text

import "testing"

func TestAWrongNameIsAnsweredWithTheRightOnes(t *testing.T) {
	names := []string{"truncated", "malformed", "degenerate"}
	for wrong, want := range map[string]string{"truncted": ": did you mean truncated?", "zzzzzzzzz": ": there are truncated, malformed, degenerate"} {
		if got := DidYouMean(wrong, names); got != want {
			t.Errorf("for %q it is %q, want %q", wrong, got, want)
		}
	}
	if got := DidYouMean("x", nil); got != "" {
		t.Errorf("without names it is %q", got)
	}
}
