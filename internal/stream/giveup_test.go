package stream

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"gleaner/internal/pipeline"
)

// A message is taken off the queue by its sequence, also while a worker holds it: a later one of
// the same batch stays.
func TestAMessageIsFoundAndTakenOffTheQueueByItsSequence(t *testing.T) {
	c := ready(t, Config{})
	if w, found, err := c.FindWork(t.Context(), "r", 1); err != nil || found {
		t.Errorf("before it is published: %+v, %v", w, err)
	}
	work := testWork("r", 1)
	must(t, c.Publish(t.Context(), work))
	must(t, c.Publish(t.Context(), testWork("r", 10)))
	first, found, err := c.FindWork(t.Context(), "r", 1)
	if diff := cmp.Diff(work, first.Work); err != nil || !found || diff != "" {
		t.Fatalf("%v, found: %v (-published +found):\n%s", err, found, diff)
	}
	held := next(t, c.Work("r"))
	info, err := c.RunInfo(t.Context(), "r")
	must(t, err)
	if info.HandedOut != first.Sequence {
		t.Errorf("message %d was handed out, the queue says %d", first.Sequence, info.HandedOut)
	}
	must(t, c.RemoveWork(t.Context(), "r", 1, first.Sequence))
	locationIs(t, c, 1, false, false)
	locationIs(t, c, 10, true, false)
	must(t, held.Ack(t.Context())) // its worker does not notice
	work.Round = 2
	must(t, c.Publish(t.Context(), work))
	must(t, c.RemoveWork(t.Context(), "r", 1, first.Sequence))
	locationIs(t, c, 1, true, false)
	if second, _, err := c.FindWork(t.Context(), "r", 1); err != nil || second.Round != 2 || second.Sequence <= first.Sequence {
		t.Errorf("%v, %+v", err, second)
	}
}

func TestAMessageThatCannotBeReadIsFoundWithItsSequence(t *testing.T) {
	c := ready(t, Config{})
	_, err := c.js.Publish(t.Context(), workSubject("r", 3), []byte("{"))
	must(t, err)
	w, found, err := c.FindWork(t.Context(), "r", 3)
	if !found || w.Sequence == 0 || pipeline.ClassOf(err) != pipeline.BadItem {
		t.Errorf("%+v, %v, %v", w, found, err)
	}
	must(t, c.RemoveWork(t.Context(), "r", 3, w.Sequence))
	locationIs(t, c, 3, false, false)
}

// What the follower says about a run changes nothing else of it, and stays when the run is ensured.
func TestAReportOnARunChangesNothingElse(t *testing.T) {
	c := ready(t, Config{})
	run := testRun("r")
	must(t, c.CompleteRun(t.Context(), run))
	must(t, c.ReportRun(t.Context(), run, 3, 7))
	info, err := c.RunInfo(t.Context(), "r")
	must(t, err)
	if info.Lanes != 3 || info.AwaitOpinion != 7 || !info.Complete || info.Model != run.Spec.Model {
		t.Errorf("%+v", info)
	}
	must(t, c.EnsureRun(t.Context(), run))
	if info, err = c.RunInfo(t.Context(), "r"); err != nil || info.Lanes != 3 || info.AwaitOpinion != 7 {
		t.Errorf("ensured again: %v, %+v", err, info)
	}
	other := run
	other.UID = "another load"
	must(t, c.ReportRun(t.Context(), other, 1, 1))
	if info, err = c.RunInfo(t.Context(), "r"); err != nil || info.Lanes != 3 {
		t.Errorf("of another load: %v, %+v", err, info)
	}
	must(t, c.ReportRun(t.Context(), testRun("gone"), 1, 1))
	if _, err := c.RunInfo(t.Context(), "gone"); err == nil {
		t.Error("a report makes a run")
	}
}

// Both change the metadata of one durable, and neither undoes what the other one wrote.
func TestAReportAndAChangeOfTheRunAtOnceBothStay(t *testing.T) {
	c := ready(t, Config{})
	for i := 1; i <= 30; i++ {
		run := testRun("r")
		run.Pins = map[pipeline.EngineName]string{pipeline.Ollama: fmt.Sprintf("digest-%d", i)}
		var group errgroup.Group
		group.Go(func() error { return c.EnsureRun(context.Background(), run) })
		group.Go(func() error { return c.ReportRun(context.Background(), run, i, i) })
		must(t, group.Wait())
		if info, err := c.RunInfo(t.Context(), "r"); err != nil || i > 1 && info.Lanes != i || info.Pins[pipeline.Ollama] != run.Pins[pipeline.Ollama] {
			t.Fatalf("in turn %d: %v, %+v", i, err, info)
		}
	}
}

// The verdicts that ride along are cut before a batch is refused because of them: first the texts
// of cut answers, then the messages.
func TestVerdictsThatRideAlongNeverMakeABatchTooLarge(t *testing.T) {
	c := ready(t, Config{})
	work := testWork("r", 1)
	work.Judged = []pipeline.LaneID{{Consumer: "c", GPU: "T4"}}
	for i := range 200 {
		work.Final = append(work.Final, pipeline.GenerationFailure{
			Generation: pipeline.Generation{Index: 50 + i, Item: i, Messages: pipeline.User(noise(2000))}, Class: pipeline.Truncated,
			Message: noise(4 << 10), Text: noise(500), Judge: work.Judged[0],
		})
	}
	must(t, c.Publish(t.Context(), work))
	got, found, err := c.FindWork(t.Context(), "r", 1)
	if err != nil || !found || len(got.Final) != 200 {
		t.Fatalf("%v, %v, %d verdicts", err, found, len(got.Final))
	}
	for i, f := range got.Final {
		want := work.Final[i]
		if f.Text != "" || !strings.HasPrefix(want.Message, f.Message[:20]) {
			t.Fatalf("verdict %d: %.80q of %.80q, %d bytes of text", i, f.Message, want.Message, len(f.Text))
		}
		want.Message, want.Text, f.Message = "", "", ""
		if diff := cmp.Diff(want, f); diff != "" {
			t.Fatalf("verdict %d (-sent +received):\n%s", i, diff)
		}
	}
}
