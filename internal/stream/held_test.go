package stream

import (
	"testing"
	"time"

	"gleaner/internal/pipeline"
)

// noted are the deliveries that a source says it holds.
type noted map[string]time.Time

func (n noted) Renewed(reply string, at time.Time) { n[reply] = at }
func (n noted) Released(reply string)              { delete(n, reply) }

func TestASourceNotesWhatItHoldsAndAnotherHandsItBack(t *testing.T) {
	operator, consumer := team(t)
	for batch := range 3 {
		must(t, operator.Publish(t.Context(), testWork("r", batch)))
	}
	held := noted{}
	source := consumer.Work("r").Note(held)
	first, second, third := next(t, source), next(t, source), next(t, source)
	if len(held) != 3 {
		t.Fatalf("%d are held", len(held))
	}
	before := held[first.Receipt.(*receipt).reply]
	must(t, first.Extend(t.Context()))
	if after := held[first.Receipt.(*receipt).reply]; !after.After(before) {
		t.Errorf("renewed at %s, before that at %s", after, before)
	}
	must(t, second.Ack(t.Context()))
	must(t, third.HandBack(t.Context(), time.Hour))
	if len(held) != 1 {
		t.Fatalf("%d are held", len(held))
	}
	var replies []string
	for reply := range held {
		replies = append(replies, reply)
	}
	must(t, consumer.HandBackFor(t.Context(), replies))
	again := next(t, source)
	if again.Body.Batch != first.Body.Batch || again.Deliveries != 2 {
		t.Errorf("batch %d, delivery %d", again.Body.Batch, again.Deliveries)
	}
	wantError(t, consumer.HandBackFor(t.Context(), []string{"gleaner.result.r.0000001.0"}), pipeline.BadItem, "no place for acks of work")
	must(t, consumer.PutPresence(t.Context(), pipeline.Presence{ID: "01J", Run: "r"}))
	must(t, consumer.ForgetConsumer(t.Context(), "01J"))
	present, err := operator.Consumers(t.Context())
	must(t, err)
	if len(present) != 0 {
		t.Errorf("%+v", present)
	}
}
