package view

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/doctor"
)

func TestFindingsAreLinedUpWithTheirAdvice(t *testing.T) {
	got := Doctor([]doctor.Finding{
		{Check: "NATS", State: doctor.OK, Says: "it answers"},
		{Check: "store", State: doctor.Wrong, Says: "no\tanswer from a server that is far away", Advice: "start it"},
		{Check: "disk", State: doctor.Warning, Says: "little\nroom", Advice: "make room"},
	}, 44)
	want := "" +
		"NATS   ok       it answers\n" +
		"store  wrong    no answer from a server that\n" +
		"                is far away\n" +
		"                → start it\n" +
		"disk   warning  little room\n" +
		"                → make room\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
