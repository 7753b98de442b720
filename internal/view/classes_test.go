package view

import (
	"strings"
	"testing"

	"gleaner/internal/pipeline"
	"gleaner/internal/text"
)

func TestTheClassesAreThoseThatALetterCanHave(t *testing.T) {
	shown := Classes()
	for _, rule := range pipeline.Classes() {
		if got := strings.Contains(shown, "\n  "+string(rule.Class)+" "); got != rule.Outcome {
			t.Errorf("%s is shown: %v, want %v in\n%s", rule.Class, got, rule.Outcome, shown)
		}
		if rule.Outcome && !strings.Contains(text.OneLine(shown), rule.Help) {
			t.Errorf("what helps against %s is missing in\n%s", rule.Class, shown)
		}
	}
}
