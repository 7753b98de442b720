package status

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"gleaner/internal/pipeline"
)

// A told is what streams say of one run.
type told struct {
	fakeStream
	depth     pipeline.StreamDepth
	info      pipeline.RunInfo
	consumers []pipeline.Presence
	asked     int
}

func (s *told) Depth(context.Context, string) (pipeline.StreamDepth, error) {
	s.asked++
	return s.depth, nil
}
func (s *told) NoRoom(context.Context, bool) string                       { return s.depth.Full }
func (s *told) RunInfo(context.Context, string) (pipeline.RunInfo, error) { return s.info, nil }
func (s *told) Consumers(context.Context) ([]pipeline.Presence, error)    { return s.consumers, nil }

func consumer(run string, state pipeline.GPUState, busy int) pipeline.Presence {
	return pipeline.Presence{ID: "c", Run: run, Host: "h", Seen: now, GPUs: []pipeline.GPUStatus{{Name: "T4", State: state, Detail: "why", Busy: busy}}}
}

func TestAStateIsOneOfTheWords(t *testing.T) {
	idle := halfway() // nothing was stored for ten minutes
	idle.LastDone = now.Add(-10 * time.Minute)
	open := pipeline.Run{Name: "gsm8k", State: pipeline.RunOpen, Generations: 1000, CreatedAt: now.Add(-time.Hour)}
	as := func(change func(*pipeline.Run)) pipeline.Run { r := open; change(&r); return r }
	with := func(change func(*pipeline.Progress)) pipeline.Progress { p := idle; change(&p); return p }
	queued := pipeline.StreamDepth{Waiting: 40}
	for name, c := range map[string]struct {
		run      pipeline.Run
		progress pipeline.Progress
		streams  *told // nil: the store alone is asked
		want     Word
		reason   string // a part of it
	}{
		"loading":                         {as(func(r *pipeline.Run) { r.State = pipeline.RunLoading }), pipeline.Progress{}, nil, Loading, ""},
		"cancelled":                       {as(func(r *pipeline.Run) { r.State = pipeline.RunCancelled }), idle, nil, Cancelled, ""},
		"deleting":                        {as(func(r *pipeline.Run) { r.State = pipeline.RunDeleting }), idle, nil, Deleting, ""},
		"planned":                         {open, pipeline.Progress{Batches: map[pipeline.BatchState]int{pipeline.Planned: 200}}, nil, Planned, ""},
		"running":                         {open, halfway(), nil, Running, ""},
		"complete":                        {open, with(func(p *pipeline.Progress) { p.Stored, p.Failed, p.Dropped = 1000, 0, 0 }), nil, Complete, ""},
		"dropped":                         {open, with(func(p *pipeline.Progress) { p.Stored, p.Failed, p.Dropped = 996, 0, 4 }), nil, Complete, "4 dropped"},
		"opinions":                        {open, with(func(p *pipeline.Progress) { p.Stored, p.Failed = 990, 6 }), &told{info: pipeline.RunInfo{AwaitOpinion: 6}}, Running, "6 failed ones await a second opinion"},
		"paused":                          {as(func(r *pipeline.Run) { r.Pause = &pipeline.RunPause{Since: now, Reason: "lunch"} }), halfway(), nil, Paused, "lunch"},
		"resumed":                         {as(func(r *pipeline.Run) { r.Pause = &pipeline.RunPause{Since: now, Ended: now} }), halfway(), nil, Running, ""},
		"by earlier":                      {open, idle, &told{depth: queued, info: pipeline.RunInfo{Run: "gsm8k", Paused: true}}, Paused, ""},
		"no consumer, as the store knows": {open, idle, nil, WaitingConsumer, "as far as the store knows"},
		"no consumer":                     {open, idle, &told{depth: queued}, WaitingConsumer, "none is present: `consumer --run gsm8k` starts one"},
		"consumers elsewhere":             {open, idle, &told{depth: queued, consumers: []pipeline.Presence{consumer("other", pipeline.GPUServing, 1)}}, WaitingConsumer, "1 consumer is present and works on other runs"},
		"consumers that left":             {open, idle, &told{depth: queued, consumers: []pipeline.Presence{consumer("gsm8k", pipeline.GPUStopped, 0)}}, WaitingConsumer, "none is present"},
		"a consumer died":                 {open, idle, &told{depth: pipeline.StreamDepth{Held: 10}}, WaitingConsumer, "one that is gone holds 10 batches"},
		"a GPU is held":                   {open, idle, &told{depth: queued, consumers: []pipeline.Presence{consumer("gsm8k", pipeline.GPUHeld, 0)}}, WaitingConsumer, "T4 is held: why"},
		"a GPU works long":                {open, idle, &told{depth: pipeline.StreamDepth{Held: 1}, consumers: []pipeline.Presence{consumer("gsm8k", pipeline.GPUServing, 1)}}, Running, ""},
		"no sink":                         {open, idle, &told{depth: pipeline.StreamDepth{Waiting: 1, Results: 3, Untaken: time.Minute}}, WaitingSink, "3 messages with answers are on the queue and none was taken for 1m0s"},
		"no room":                         {open, idle, &told{depth: pipeline.StreamDepth{Full: "GLEANER_WORK holds 1 of 1"}}, WaitingRoom, "GLEANER_WORK holds"},
		"no publisher":                    {open, idle, &told{}, Planned, "50 batches are not published: `producer publish --run gsm8k --follow` does it"},
	} {
		t.Run(name, func(t *testing.T) {
			var streams Streams
			if c.streams != nil {
				streams = c.streams
			}
			s, err := Take(t.Context(), &fakeStore{run: &c.run, progress: c.progress}, streams, "gsm8k", now)
			if err != nil {
				t.Fatal(err)
			}
			if s.State.Word != c.want || !strings.Contains(s.State.Reason, c.reason) || (c.reason == "") != (s.State.Reason == "") {
				t.Errorf("got %q, want %q because of %q", s.State.Describe(), c.want, c.reason)
			}
			if s.ETA > 0 && c.want != Running {
				t.Errorf("it has an ETA of %s", s.ETA)
			}
		})
	}
}

func TestACompleteRunSaysHowManyFailed(t *testing.T) {
	s := at(pipeline.Run{State: pipeline.RunOpen, Generations: 1000}, pipeline.Progress{Stored: 997, Failed: 3, LastDone: now})
	if got := s.State.String(); got != "complete with 3 failed" {
		t.Errorf("got %q", got)
	}
}

// The streams are asked why nothing comes, and only then: each question costs traffic.
func TestAFollowerSaysWithinTenSecondsWhyNothingComes(t *testing.T) {
	streams := &told{depth: pipeline.StreamDepth{Waiting: 40}}
	f := NewFollower(streams, nil)
	run := pipeline.Run{Name: "gsm8k", State: pipeline.RunOpen, Generations: 1000}
	p := pipeline.Progress{Generations: 1000, Batches: map[pipeline.BatchState]int{pipeline.Queued: 100}}
	var said time.Duration
	for s := range 60 {
		snapshot := f.Look(t.Context(), run, p, nil, now.Add(time.Duration(s)*time.Second))
		if said == 0 && snapshot.State.Word == WaitingConsumer {
			said = time.Duration(s) * time.Second
		}
	}
	if said == 0 || said > 10*time.Second {
		t.Errorf("it said so after %s", said)
	}
	if streams.asked > 8 {
		t.Errorf("the streams were asked %d times in a minute", streams.asked)
	}
	for s := range 60 { // answers come
		p.Stored++
		p.OutputTokens += 100
		snapshot := f.Look(t.Context(), run, p, nil, now.Add(time.Duration(60+s)*time.Second))
		if snapshot.State.Word != Running {
			t.Fatalf("after %d s it is %s", s, snapshot.State.Describe())
		}
		if s == 59 && (snapshot.TokensPerSecond < 95 || snapshot.TokensPerSecond > 105) {
			t.Errorf("%g tokens a second", snapshot.TokensPerSecond)
		}
	}
	away := f.Look(t.Context(), run, p, errors.New("no server"), now.Add(2*time.Minute))
	if away.State.Describe() != "waiting for the store: no server" {
		t.Errorf("got %q", away.State.Describe())
	}
}
