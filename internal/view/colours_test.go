package view

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/cli"
	"gleaner/internal/doctor"
	"gleaner/internal/failures"
	"gleaner/internal/pipeline"
	"gleaner/internal/status"
)

// wordsOf returns the words of a text that have a colour, in the order of the colours.
func wordsOf(s string) (words []string) {
	for _, p := range painted() {
		for _, at := range p.At.FindAllStringSubmatch(s, -1) {
			words = append(words, string(p.Colour)+" "+at[1])
		}
	}
	slices.Sort(words)
	return words
}

func TestStatesClassesAndFindingsHaveColours(t *testing.T) {
	runs := []status.Snapshot{
		{Run: "a", State: status.State{Word: status.Running}, Model: "m"}, {Run: "b", State: status.State{Word: status.Complete}, Model: "m"},
		{Run: "c", State: status.State{Word: status.Complete, Failed: 3}, Simulated: true, Model: "m"}, {Run: "d-4", State: status.State{Word: status.WaitingConsumer}, Model: "m"},
	}
	groups := []failures.Group{{Class: pipeline.Truncated, Cause: "the run is running: complete", Generations: 1200}}
	found := []doctor.Finding{{Check: "NATS", State: doctor.OK, Says: "it is wrong  to say  warning  here"}, {Check: "model server", State: doctor.Wrong, Says: "none"}, {Check: "disk", State: doctor.Warning, Says: "full"}}
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"a table", Snapshots(runs, 0), []string{"32 complete", "32 running", "33 complete with 3 failed", "33 waiting for a consumer"}},
		{"a narrow table", Snapshots(runs, 55), []string{"32 complete", "32 running", "33 complete with 3 failed", "33 waiting for a consumer"}},
		{"one run", Snapshot(runs[2], 80), []string{"33 complete with 3 failed"}},
		{"failures", Failures(groups, 80), []string{"31 truncated"}},
		{"what doctor found", Doctor(found, 80), []string{"31 wrong", "32 ok", "33 warning"}},
	} {
		if diff := cmp.Diff(c.want, wordsOf(c.text)); diff != "" {
			t.Errorf("%s (-want +got):\n%s\n%s", c.name, diff, c.text)
		}
	}
}

func TestWhereThereIsNoTerminalNothingHasAColour(t *testing.T) {
	var b bytes.Buffer
	said := Doctor([]doctor.Finding{{Check: "NATS", State: doctor.OK, Says: "it is there"}}, 80)
	if err := Print(&b, said); err != nil || b.String() != said || strings.Contains(said, "\x1b") || cli.Colours(&b) {
		t.Errorf("%v: %q", err, b.String())
	}
}
