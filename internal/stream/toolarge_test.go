package stream

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"gleaner/internal/natsd"
	"gleaner/internal/natsd/natsdtest"
	"gleaner/internal/pipeline"

	"github.com/nats-io/nats-server/v2/server"
)

// small returns a connection to a server that takes messages of 64 KiB.
func small(t *testing.T) *Conn {
	t.Helper()
	return ready(t, Config{URL: natsdtest.Start(t, natsd.Config{Adjust: func(o *server.Options) { o.MaxPayload = 64 << 10 }}).URL()})
}

func TestWhatFitsOfABatchThatIsTooLargeIsTakenByTheServer(t *testing.T) {
	t.Parallel()
	c := small(t)
	w := testWork("r", 0)
	w.Generations = nil
	for i, bytes := range []int{10, 100 << 10, 25 << 10, 25 << 10, 25 << 10, 100 << 10} {
		w.Generations = append(w.Generations, pipeline.Generation{Index: i, Item: i, Seed: i, Messages: pipeline.User(noise(bytes))})
	}
	err := c.Publish(t.Context(), w)
	if tooLarge := new(pipeline.SizeError); !errors.As(err, &tooLarge) || tooLarge.Limit != 64<<10 || tooLarge.Bytes < 200<<10 {
		t.Fatal(err)
	}
	fits, err := c.Fit(w)
	must(t, err)
	letter, found := fits.Unsent(w, time.Now())
	if !found || !slices.Equal(letter.Failed(), []int{1, 5}) || len(fits.Generations) < 2 || len(fits.Generations) > 3 || len(fits.Final)+len(fits.Generations) != 6 {
		t.Fatalf("%v, %+v, %d go out", found, letter.Failed(), len(fits.Generations))
	}
	must(t, c.PublishDeadLetter(t.Context(), letter))
	must(t, c.Publish(t.Context(), fits))
	got := next(t, c.Work("r"))
	for _, f := range got.Body.Final {
		if !strings.Contains(f.Message, "accepts 65,536") || !strings.Contains(f.Message, "Raise max_payload") {
			t.Errorf("%+v", f)
		}
	}
	stored, found, err := c.DeadLetter(t.Context(), "r", 0)
	must(t, err)
	if !found || stored.Class != pipeline.TooLarge || stored.Failures[0].Prompt() != "" {
		t.Errorf("%+v", stored)
	}
}

// A letter that the server refuses for its prompts would bring its batch back without end.
func TestALetterThatIsTooLargeLeavesItsPromptsOut(t *testing.T) {
	t.Parallel()
	c := small(t)
	d := testDeadLetter("r", 1, "the reason")
	d.Shared = []pipeline.Message{{Role: pipeline.RoleSystem, Content: noise(40 << 10)}}
	d.Failures = nil
	for i := range 8 {
		d.Failures = append(d.Failures, pipeline.GenerationFailure{Generation: pipeline.Generation{Index: i, Item: i, Messages: pipeline.User(noise(9 << 10))}, Class: pipeline.BadItem, Message: noise(900)})
	}
	must(t, c.PublishDeadLetter(t.Context(), d))
	got, _, err := c.DeadLetter(t.Context(), "r", 1)
	must(t, err)
	if got.Message != "the reason" || len(got.Failures) != 8 || len(got.Failures[7].Message) != 900 || got.Failures[7].Prompt() != "" || len(got.Shared) != 0 {
		t.Errorf("%d failures, the last: %+v", len(got.Failures), got.Failures[7])
	}
}

func TestAnswersThatNoMessageHasRoomForAreNamedAndAllOthersGoOut(t *testing.T) {
	t.Parallel()
	c := small(t)
	r := testResults("r", 1, "a", noise(200<<10), "b", noise(40<<10), noise(200<<10))
	err := c.PublishResults(t.Context(), r)
	if tooLarge := new(pipeline.SizeError); !errors.As(err, &tooLarge) || !slices.Equal(tooLarge.Indexes, []int{1, 4}) {
		t.Fatal(err)
	}
	n := 0
	for n < 3 {
		got, err := c.Results(t.Context(), 10, time.Second)
		must(t, err)
		for _, d := range got {
			must(t, d.Err)
			n += len(d.Body.Results)
			must(t, d.Ack(t.Context()))
		}
	}
	if n != 3 {
		t.Errorf("%d answers", n)
	}
}
