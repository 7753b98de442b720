package stream

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"gleaner/internal/pipeline"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
)

// 2,000 records of 30 KB are 60 MB. The server is in this process, and keeps some of them, too.
func TestBrowsingManyDeadLettersTakesLittleMemory(t *testing.T) {
	c := ready(t, Config{})
	const n = 2000
	prompt := strings.Repeat("a prompt that compresses well, ", 30_000/31)
	for i := range n {
		d := testDeadLetter([]string{"r", "s"}[i%2], i, "x")
		d.Failures[0].Messages = pipeline.User(prompt)
		msg, err := c.codec.packDeadLetter(d, maxChunkBytes)
		must(t, err)
		_, err = c.js.PublishMsgAsync(msg)
		must(t, err)
	}
	<-c.js.PublishAsyncComplete()
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	most, count := uint64(0), 0
	last := uint64(0)
	for d, err := range c.DeadLetters(t.Context(), "") {
		must(t, err)
		if d.Sequence <= last || d.Failures[0].Prompt() != prompt {
			t.Fatalf("%d after %d", d.Sequence, last)
		}
		last = d.Sequence
		if count++; count%500 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapAlloc)
		}
	}
	if count != n || most > before.HeapAlloc+30<<20 {
		t.Errorf("%d dead letters; %d MiB more", count, (int64(most)-int64(before.HeapAlloc))>>20)
	}
	if of := len(all(t, c, "s")); of != n/2 {
		t.Errorf("%d of run s", of)
	}
}

// Redriving while browsing brings new dead letters of the same batches: it would never end.
func TestBrowsingEndsAlthoughEachDeadLetterComesBack(t *testing.T) {
	c := ready(t, Config{})
	const n = 150
	for i := range n {
		must(t, c.PublishDeadLetter(t.Context(), testDeadLetter("r", i, "x")))
	}
	count := 0
	for d, err := range c.DeadLetters(t.Context(), "r") {
		must(t, err)
		must(t, c.PublishDeadLetter(t.Context(), d.DeadLetter))
		count++
	}
	if count != n {
		t.Errorf("%d dead letters of %d", count, n)
	}
}

func TestBrowsingStopsWhenItsReaderDoes(t *testing.T) {
	c := ready(t, Config{})
	for i := range 3 {
		must(t, c.PublishDeadLetter(t.Context(), testDeadLetter("r", i, "x")))
	}
	for range c.DeadLetters(t.Context(), "r") {
		break
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var errs []error
	for _, err := range c.DeadLetters(ctx, "r") {
		errs = append(errs, err)
	}
	if len(errs) != 1 || !errors.Is(errs[0], context.Canceled) {
		t.Errorf("%v", errs)
	}
}

func TestUnreadableDeadLettersAreNamedAndTheOthersStillRead(t *testing.T) {
	server := serve(t)
	c := ready(t, Config{URL: server.URL()})
	good, err := pipeline.Encode(testDeadLetter("r", 1, "x"))
	must(t, err)
	js := admin(t, server.URL())
	cases := []struct {
		name, subject string
		header        nats.Header
		data          []byte
		want          string
	}{
		{"no JSON", deadSubject("r", 2), nil, []byte("?"), "dead letter:"},
		{"empty", deadSubject("r", 3), nil, nil, "dead letter:"},
		{"another batch's subject", deadSubject("r", 4), nil, good, "not what its subject says"},
		{"another run's subject", deadSubject("s", 5), nil, good, "not what its subject says"},
		{"damaged", deadSubject("r", 6), nats.Header{encodingHeader: []string{"zstd"}}, good, "unpack"},
		{"unknown encoding", deadSubject("r", 7), nats.Header{encodingHeader: []string{"br"}}, good, `"br"`},
		{"it says that it is the end", deadSubject("r", 8), nats.Header{"Status": []string{"204"}}, nil, "dead letter:"},
		{"it says that it is another", deadSubject("r", 9), nats.Header{"Nats-Sequence": []string{"1"}, "Nats-Subject": []string{deadSubject("r", 1)}}, good, "not what its subject says"},
	}
	for _, x := range cases {
		_, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: x.subject, Header: x.header, Data: x.data})
		must(t, err)
	}
	must(t, c.PublishDeadLetter(t.Context(), testDeadLetter("r", 1, "x")))
	i := 0
	for d, err := range c.DeadLetters(t.Context(), "") {
		if i == len(cases) {
			must(t, err)
			if d.Message != "x" || d.Sequence != uint64(len(cases)+1) {
				t.Errorf("%+v", d)
			}
			i++
			continue
		}
		wantError(t, err, pipeline.BadItem, cases[i].want, fmt.Sprintf("sequence %d ", i+1), cases[i].subject)
		if d.Sequence != uint64(i+1) || deadSubject(d.Run, d.Batch) != cases[i].subject || time.Since(d.FailedAt).Abs() > time.Hour {
			t.Errorf("%s: %d, %s, %d, %s", cases[i].name, d.Sequence, d.Run, d.Batch, d.FailedAt)
		}
		one, ok, err := c.DeadLetter(t.Context(), d.Run, d.Batch)
		wantError(t, err, pipeline.BadItem, cases[i].want)
		if diff := cmp.Diff(d, one); diff != "" || !ok {
			t.Errorf("%s: %v %s", cases[i].name, ok, diff)
		}
		i++
	}
	if i != len(cases)+1 {
		t.Errorf("%d were yielded", i)
	}
	readable := 0
	for _, d := range take(t, c, len(cases)+1) {
		if d.Err == nil {
			readable++
		} else if d.Body.Sequence != 0 {
			t.Errorf("%+v", d)
		}
		must(t, d.Ack(t.Context()))
	}
	if readable != 1 {
		t.Errorf("%d are readable", readable)
	}
}
