package stream

import (
	"strings"
	"testing"

	"gleaner/internal/pipeline"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go"
)

// Whatever lies on the DEAD stream, plain or compressed, is a dead letter of its subject's batch
// that stays the same when it is written again, or a record that is said to be unreadable and
// claims nothing beyond its subject.
func FuzzStoredDeadLetter(f *testing.F) {
	codec, err := newCodec()
	if err != nil {
		f.Fatal(err)
	}
	long := testDeadLetter("r", 7, strings.Repeat("it ran out of memory ", 200))
	for _, d := range []pipeline.DeadLetter{testDeadLetter("r", 7, "no room"), long} {
		data, err := pipeline.Encode(d)
		if err != nil {
			f.Fatal(err)
		}
		msg := codec.pack(deadSubject(d.Run, d.Batch), data)
		f.Add(msg.Subject, msg.Header.Get(encodingHeader), msg.Data)
		f.Add("gleaner.dead.r.x", "", data)
		f.Add("gleaner.dead.other.0000007", "gzip", data)
	}
	f.Add("gleaner.dead.r.0000007", "", []byte(`{"run":"r","batch":7,"round":1,"failures":[{"index":-1}]}`))
	f.Add("gleaner.dead.r.0000007", "", []byte(`{"run":"r","batch":7,"round":1,"options":{"stop":[]},"failures":[{}]}`))
	f.Fuzz(func(t *testing.T, subject, encoding string, data []byte) {
		m := storedMessage{Subject: subject, Sequence: 9, Data: data, header: nats.Header{}}
		if encoding != "" {
			m.header.Set(encodingHeader, encoding)
		}
		got, err := codec.storedDeadLetter(m)
		if got.Sequence != 9 {
			t.Fatalf("the sequence is %d", got.Sequence)
		}
		if err != nil {
			if pipeline.ClassOf(err) != pipeline.BadItem {
				t.Errorf("class %s: %v", pipeline.ClassOf(err), err)
			}
			if diff := cmp.Diff(pipeline.DeadLetter{Run: got.Run, Batch: got.Batch}, got.DeadLetter); diff != "" {
				t.Errorf("it claims more than its subject (-want +got):\n%s", diff)
			}
			return
		}
		if deadSubject(got.Run, got.Batch) != subject {
			t.Errorf("on %q it is of batch %s", subject, got.ID())
		}
		again, err := codec.packDeadLetter(got.DeadLetter, maxChunkBytes)
		if err != nil {
			t.Fatal(err)
		}
		second, err := codec.storedDeadLetter(storedMessage{Subject: again.Subject, Sequence: 9, Data: again.Data, header: again.Header})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(prompts(got.DeadLetter), prompts(second.DeadLetter), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("(-first +second):\n%s", diff)
		}
	})
}

// prompts returns a letter without what may be cut.
func prompts(d pipeline.DeadLetter) pipeline.DeadLetter {
	d.Message, d.Failures = "", brevity{}.of(d.Failures)
	return d
}

// Whatever a consumer reports of itself is taken as it is, or left out.
func FuzzPresence(f *testing.F) {
	data, err := pipeline.Encode(pipeline.Presence{ID: "01J", Run: "r", Host: "h", GPUs: []pipeline.GPUStatus{{Name: "T4", State: "serving", Slots: 8}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("01J", data)
	f.Add("01J", []byte(`{"id":"01J","gpus":[null,{"slots":-1,"tokens_per_second":1e308}],"seen":"9999-12-31T23:59:59.999999999+23:59"}`))
	f.Add("", []byte(`null`))
	f.Fuzz(func(t *testing.T, key string, data []byte) {
		p, ok := readPresence(key, data)
		if !ok {
			return
		}
		if p.ID != key {
			t.Errorf("under %q there is %q", key, p.ID)
		}
		again, err := pipeline.Encode(p)
		if err != nil {
			t.Fatal(err)
		}
		second, ok := readPresence(key, again)
		if diff := cmp.Diff(p, second, cmpopts.EquateEmpty()); diff != "" || !ok {
			t.Errorf("%v (-first +second):\n%s", ok, diff)
		}
	})
}
