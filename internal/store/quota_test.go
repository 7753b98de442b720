package store_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"gleaner/internal/pipeline"
	"gleaner/internal/store"
	"gleaner/internal/store/storetest"
)

// A free Atlas cluster refuses writes at 512 MB. What it has can still be read and deleted.
func TestADatabaseOverItsQuotaRefusesWritesSaysWhyAndCanBeRead(t *testing.T) {
	proxy := storetest.NewMongoProxy(t, storetest.MongoURI(t))
	s, err := store.Open(t.Context(), proxy.URI)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	run := pipeline.Run{Name: "r", UID: "01J", State: pipeline.RunLoading, Items: 1, Generations: 1, Spec: pipeline.Spec{Model: "m", Samples: 1}}
	if _, _, err := s.CreateRun(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	batch := pipeline.Batch{Run: "r", Index: 0, First: 0, Count: 1, State: pipeline.Planned, Round: 1}
	if err := s.PutItems(t.Context(), []pipeline.Item{{Run: "r", Seq: 0, Input: []byte(`{"q":1}`)}}); err != nil {
		t.Fatal(err)
	}
	if err := s.PutBatches(t.Context(), []pipeline.Batch{batch}); err != nil {
		t.Fatal(err)
	}
	proxy.SetFull(true)
	results := []pipeline.Results{{Run: "r", UID: "01J", Batch: 0, Round: 1, Consumer: "c", GPU: "g",
		Results: []pipeline.Result{{Index: 0, Text: "x", Finish: "stop", CreatedAt: time.Now()}}}}
	for what, write := range map[string]func() error{
		"results": func() error { _, err := s.WriteResults(t.Context(), results, time.Now()); return err },
		"mark":    func() error { return s.MarkQueued(t.Context(), "r", []int{0}, time.Now()) },
		"fail":    func() error { _, err := s.Fail(t.Context(), "r", 0, 1, []int{0}, "why"); return err },
		"requeue": func() error {
			_, err := s.Requeue(t.Context(), pipeline.Batch{Run: "r", Index: 0, State: pipeline.Planned, Round: 1}, 0, time.Now())
			return err
		},
		"consumers": func() error { return s.PutConsumers(t.Context(), []pipeline.Presence{{ID: "c", Run: "r"}}) },
	} {
		err := write()
		t.Log(err)
		if err == nil || pipeline.ClassOf(err) != pipeline.Retryable || !strings.Contains(err.Error(), "514 MB of 512 MB") || !strings.Contains(err.Error(), "producer delete --run") {
			t.Errorf("%s: got a %s error %v", what, pipeline.ClassOf(err), err)
		}
	}
	if got, err := s.Run(t.Context(), "r"); err != nil || got.UID != "01J" {
		t.Errorf("the run cannot be read: %+v, %v", got, err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	proxy.SetFull(false)
	if written, err := s.WriteResults(t.Context(), results, time.Now()); err != nil || written.New != 1 {
		t.Errorf("afterwards: %+v, %v", written, err)
	}
	proxy.SetFull(true)
	if err := s.DeleteRun(t.Context(), "r", nil); err != nil {
		t.Error("there is no way to make room:", err)
	}
	if runs, err := s.Runs(t.Context()); err != nil || len(runs) != 0 {
		t.Errorf("afterwards there are %v, %v", runs, err)
	}
	if err := s.DeleteRun(t.Context(), "r", nil); !errors.Is(err, pipeline.ErrNoRun) {
		t.Errorf("a run that is not there: %v", err)
	}
}
