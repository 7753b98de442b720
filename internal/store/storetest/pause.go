package storetest

import (
	"errors"
	"testing"
	"time"

	"gleaner/internal/pipeline"
)

func pause(t *testing.T, s *suite) {
	f := s.load(t, 1, 1, 1)
	is := func(want *pipeline.RunPause, err error) {
		t.Helper()
		f.ok(err)
		run, err := f.store.Run(f.ctx, f.run.Name)
		f.ok(err)
		same(t, run.Pause, want)
	}
	name, uid := f.run.Name, f.run.UID
	first := pipeline.RunPause{Since: start(), Cause: pipeline.PausedByPerson, Reason: "$lunch"}
	second := pipeline.RunPause{Since: start().Add(time.Hour), Cause: pipeline.PausedByFailures, Reason: "{the first 20 failed}"}
	is(nil, f.store.Resume(f.ctx, name, uid, start())) // it is not paused
	is(nil, f.store.Pause(f.ctx, name, "another", first))
	is(&first, f.store.Pause(f.ctx, name, uid, first))
	is(&first, f.store.Pause(f.ctx, name, uid, second)) // it is paused already
	is(&first, f.store.Resume(f.ctx, name, "another", start()))
	ended := first
	ended.Ended = start().Add(time.Minute)
	is(&ended, f.store.Resume(f.ctx, name, uid, ended.Ended))
	is(&ended, f.store.Resume(f.ctx, name, uid, ended.Ended.Add(time.Minute)))
	is(&second, f.store.Pause(f.ctx, name, uid, second))

	runs, err := f.store.Runs(f.ctx)
	f.ok(err)
	for _, run := range runs {
		if run.Name == name {
			same(t, run.Pause, &second)
		}
	}
	f.ok(f.store.Cancel(f.ctx, name))
	is(&second, f.store.Resume(f.ctx, name, uid, start())) // it is over

	same(t, errors.Is(f.store.Pause(f.ctx, s.name(), uid, first), pipeline.ErrNoRun), true)
	same(t, errors.Is(f.store.Resume(f.ctx, s.name(), uid, start()), pipeline.ErrNoRun), true)
}
