package pipeline

import "testing"

func TestAFloodOfReportsIsBounded(t *testing.T) {
	many := make([]Presence, maxShown+7)
	many[3].GPUs = make([]GPUStatus, 10_000)
	shown, more := Shown(many)
	if len(shown) != maxShown || more != 7 || len(shown[3].GPUs) != maxShownGPUs || len(many[3].GPUs) != 10_000 {
		t.Errorf("%d shown and %d more, of one %d GPUs of %d", len(shown), more, len(shown[3].GPUs), len(many[3].GPUs))
	}
	if shown, more := Shown(many[:2]); len(shown) != 2 || more != 0 {
		t.Errorf("two are %d and %d more", len(shown), more)
	}
	if shown, _ := Shown([]Presence{}); shown == nil {
		t.Error("no consumers are not known, in JSON")
	}
}
