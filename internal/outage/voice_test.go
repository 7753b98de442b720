package outage

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestOneOfSeveralLoopsSaysThatTheirServerIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		var voice Voice
		away := func(what string) error { return voice.Mark(errors.New(what+": no answer"), "no answer") }
		looking := &Loop{Log: zap.New(core), Away: "cannot look", Back: "looks again"}
		writing := &Loop{Log: zap.New(core), Away: "cannot write", Back: "writes again"}
		said := func(want ...string) {
			t.Helper()
			all := logs.TakeAll()
			for i, entry := range all {
				if i < len(want) && entry.Message != want[i] {
					t.Errorf("said %q, want %q", entry.Message, want[i])
				}
			}
			if len(all) != len(want) {
				t.Errorf("%d lines, want %q", len(all), want)
			}
		}
		looking.Observe(away("look"))
		writing.Observe(away("write"))
		looking.Observe(away("look at something else"))
		writing.Observe(errors.New("the stream is full")) // of another server
		said("cannot look", "cannot write")
		writing.Observe(nil)
		looking.Observe(nil)
		said("writes again", "looks again")

		writing.Observe(away("write"))
		looking.Observe(away("look"))
		said("cannot write")
		time.Sleep(speakerLost + time.Second) // it has ended
		looking.Observe(away("look"))
		looking.Observe(nil)
		said("cannot look", "looks again")
	})
}
