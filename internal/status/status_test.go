package status

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

var now = time.Date(2025, 5, 1, 12, 0, 0, 0, time.UTC)

// A fakeStore knows one run.
type fakeStore struct {
	lately    int           // generations of the last half minute
	run       *pipeline.Run // nil: one that is open
	progress  pipeline.Progress
	measures  pipeline.Measures
	consumers []pipeline.Presence
	failing   error // of Progress
	asked     string
}

func (s *fakeStore) Run(_ context.Context, name string) (pipeline.Run, error) {
	if name != "gsm8k" {
		return pipeline.Run{}, pipeline.Fail(pipeline.Fatal, "run %s: %w", name, pipeline.ErrNoRun)
	}
	if s.run != nil {
		return *s.run, nil
	}
	return pipeline.Run{
		Name: "gsm8k", UID: "u", State: pipeline.RunOpen, Items: 500, Generations: 1000, Batches: 200,
		Spec: pipeline.Spec{Model: "tiny", Dataset: pipeline.DatasetID{Name: "train.jsonl", Digest: "d"}},
	}, nil
}

func (s *fakeStore) Runs(ctx context.Context) ([]pipeline.Run, error) {
	run, err := s.Run(ctx, "gsm8k")
	return []pipeline.Run{run}, err
}

func (s *fakeStore) Progress(_ context.Context, _ string, since time.Time) (pipeline.Progress, error) {
	p := s.progress
	switch {
	case since.Equal(now.Add(-rateOver)):
		p.RecentGenerations, p.RecentTokens = s.lately, 100*s.lately
	case !since.Equal(now.Add(-window)):
		return pipeline.Progress{}, errors.New("another window")
	}
	return p, s.failing
}

func (s *fakeStore) Consumers(_ context.Context, run string, since time.Time) ([]pipeline.Presence, error) {
	s.asked = run
	if !since.Equal(now.Add(-presence)) {
		return nil, errors.New("another time")
	}
	return s.consumers, nil
}

func (s *fakeStore) Measure(context.Context, string) (pipeline.Measures, error) {
	return s.measures, nil
}

// A fakeStream has consumers of several runs.
type fakeStream struct {
	depth, consumers error
}

func (s fakeStream) Depth(context.Context, string) (pipeline.StreamDepth, error) {
	if s.depth != nil {
		return pipeline.StreamDepth{}, s.depth
	}
	return pipeline.StreamDepth{Waiting: 40, Held: 10, Results: 3}, nil
}

func (s fakeStream) NoRoom(context.Context, bool) string { return "" }

func (s fakeStream) RunInfo(context.Context, string) (pipeline.RunInfo, error) {
	return pipeline.RunInfo{AwaitOpinion: 2}, s.depth
}

func (s fakeStream) DeadLetters(context.Context, string) iter.Seq2[pipeline.StoredDeadLetter, error] {
	letter := func(uid string, classes ...pipeline.Class) (d pipeline.StoredDeadLetter) {
		d.UID, d.Run = uid, "gsm8k"
		for _, c := range classes {
			d.Failures = append(d.Failures, pipeline.GenerationFailure{Class: c, Message: "why " + string(c)})
		}
		return d
	}
	return func(yield func(pipeline.StoredDeadLetter, error) bool) {
		_ = yield(letter("u", pipeline.Truncated), nil) && yield(letter("another load", pipeline.Poison), nil) &&
			yield(pipeline.StoredDeadLetter{}, pipeline.Fail(pipeline.BadItem, "unreadable")) &&
			yield(letter("u", pipeline.Unanswered, pipeline.Truncated, pipeline.BadItem, pipeline.Unanswered, pipeline.Unanswered), nil)
	}
}

func (s fakeStream) Consumers(context.Context) ([]pipeline.Presence, error) {
	return []pipeline.Presence{{ID: "c1", Run: "gsm8k"}, {ID: "c2", Run: "other"}, {ID: "c3", Run: "gsm8k"}}, s.consumers
}

// halfway is the progress of a run that has been generating for an hour.
func halfway() pipeline.Progress {
	return pipeline.Progress{
		Batches:     map[pipeline.BatchState]int{pipeline.Planned: 50, pipeline.Queued: 50, pipeline.Done: 98, pipeline.Dead: 1, pipeline.Dropped: 1},
		Generations: 1000, Stored: 690, Failed: 6, Dropped: 4, PromptTokens: 7000, OutputTokens: 90000, ThinkingTokens: 60000,
		FirstDone: now.Add(-time.Hour), LastDone: now.Add(-time.Second), RecentGenerations: 60, RecentTokens: 9000,
	}
}

func ids(consumers []pipeline.Presence) []string {
	var ids []string
	for _, c := range consumers {
		ids = append(ids, c.ID)
	}
	return ids
}

func TestASnapshotPutsStoreAndStreamTogether(t *testing.T) {
	here := []string{"c1", "c3"}
	before := []string{"seen before"}
	for _, c := range []struct {
		name      string
		stream    Streams
		depth     *pipeline.StreamDepth
		away      string
		consumers []string
	}{
		{"with a stream", fakeStream{}, &pipeline.StreamDepth{Waiting: 40, Held: 10, Results: 3}, "", here},
		{"before the run is published", fakeStream{depth: pipeline.Fail(pipeline.Retryable, "run gsm8k is not on the stream: %w", pipeline.ErrNoRun)}, &pipeline.StreamDepth{}, "", here},
		{"without a stream", nil, nil, "", before},
		{"with a stream that is away", fakeStream{depth: errors.New("no servers")}, nil, "no servers", before},
		{"with a stream that does not say who is there", fakeStream{consumers: errors.New("no bucket")}, nil, "no bucket", before},
	} {
		t.Run(c.name, func(t *testing.T) {
			store := &fakeStore{progress: halfway(), consumers: []pipeline.Presence{{ID: "seen before", Run: "gsm8k"}}}
			s, err := Take(t.Context(), store, c.stream, "gsm8k", now)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.depth, s.Stream); diff != "" || s.StreamError != c.away {
				t.Errorf("away %q, depth (-want +got):\n%s", s.StreamError, diff)
			}
			if diff := cmp.Diff(c.consumers, ids(s.Consumers)); diff != "" {
				t.Errorf("consumers (-want +got):\n%s", diff)
			}
			if s.Stored != 690 {
				t.Errorf("%d stored", s.Stored)
			}
		})
	}
}

func TestRatesAreThoseOfTheLastMinutes(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*pipeline.Progress)
		per    float64
		tokens float64
		eta    time.Duration
	}{
		{"after an hour", func(*pipeline.Progress) {}, 0.2, 30, 1500 * time.Second},
		{"in the first minute", func(p *pipeline.Progress) { p.FirstDone = now.Add(-30 * time.Second) }, 2, 300, 150 * time.Second},
		{"in the first second", func(p *pipeline.Progress) { p.FirstDone = now.Add(-time.Millisecond) }, 60, 9000, 5 * time.Second},
		{"when the run was resumed half a minute ago", func(p *pipeline.Progress) { p.Since = now.Add(-30 * time.Second) }, 2, 300, 150 * time.Second},
		{"with a store whose clock is ahead", func(p *pipeline.Progress) { p.FirstDone = now.Add(time.Minute) }, 60, 9000, 5 * time.Second},
		{"when nothing was done lately", func(p *pipeline.Progress) { p.RecentGenerations, p.RecentTokens = 0, 0 }, 0, 0, 0},
		{"when nothing is left", func(p *pipeline.Progress) { p.Stored = 990 }, 0, 0, 0},
		{"when dead letters were answered late", func(p *pipeline.Progress) { p.Stored = 999 }, 0, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := halfway()
			c.change(&p)
			s, err := Take(t.Context(), &fakeStore{progress: p}, nil, "gsm8k", now)
			if err != nil {
				t.Fatal(err)
			}
			if s.PerSecond != c.per || s.TokensPerSecond != c.tokens || s.ETA.Round(time.Millisecond) != c.eta || math.Abs(s.ETASeconds-c.eta.Seconds()) > 1e-6 {
				t.Errorf("%g generations and %g tokens per second, ETA %s = %g s; want %g, %g, %s", s.PerSecond, s.TokensPerSecond, s.ETA, s.ETASeconds, c.per, c.tokens, c.eta)
			}
		})
	}
}

func TestRatesAreThoseOfTheLastHalfMinuteIfSomethingWasDoneInIt(t *testing.T) {
	s, err := Take(t.Context(), &fakeStore{progress: halfway(), lately: 15}, nil, "gsm8k", now)
	if err != nil || s.PerSecond != 0.5 || s.TokensPerSecond != 50 {
		t.Errorf("%g generations and %g tokens per second, %v", s.PerSecond, s.TokensPerSecond, err)
	}
}

// at returns what the store alone says of a run.
func at(run pipeline.Run, p pipeline.Progress) Snapshot {
	s := base(run, p)
	s.rate(p, now)
	s.decide(signs{now: now, run: run, last: p.LastDone})
	return s
}

func TestARunThatDoesNotRunHasNoETAAndNoRate(t *testing.T) {
	paused := pipeline.Run{State: pipeline.RunOpen, Generations: 1000, Pause: &pipeline.RunPause{Since: now}}
	for _, run := range []pipeline.Run{{State: pipeline.RunCancelled, Generations: 1000}, paused} {
		if s := at(run, halfway()); s.ETA != 0 || s.PerSecond != 0 || s.TokensPerSecond != 0 {
			t.Errorf("%s: ETA %s at %g generations a second", s.State, s.ETA, s.PerSecond)
		}
	}
}

func TestAnETABeyondAllTimeIsStillOne(t *testing.T) {
	s := at(pipeline.Run{Generations: 1e12}, pipeline.Progress{RecentGenerations: 1, FirstDone: now.Add(-time.Hour), LastDone: now, Batches: map[pipeline.BatchState]int{pipeline.Done: 1}})
	if s.ETA < 100*365*24*time.Hour {
		t.Errorf("the ETA is %s", s.ETA)
	}
}

func TestWhatTheStoreCannotTellIsAnError(t *testing.T) {
	if _, err := Take(t.Context(), &fakeStore{}, nil, "unknown", now); !errors.Is(err, pipeline.ErrNoRun) || err.Error() != "run unknown: no such run" {
		t.Errorf("got %v", err)
	}
	away := errors.New("no store")
	if _, err := Take(t.Context(), &fakeStore{failing: away}, fakeStream{}, "gsm8k", now); !errors.Is(err, away) {
		t.Errorf("got %v", err)
	}
}

// Other programs read this.
func TestTheFormOfJSONStays(t *testing.T) {
	encoded := func(s Snapshot) string {
		data, err := json.MarshalIndent(s, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	full, err := Take(t.Context(), &fakeStore{progress: halfway()}, fakeStream{}, "gsm8k", now)
	if err != nil {
		t.Fatal(err)
	}
	full.Consumers = []pipeline.Presence{{
		ID: "c1", Run: "gsm8k", Host: "h", Version: "v", ServerVersion: "0.17.4", Model: "tiny", Digest: "d", Started: now, Seen: now, Deadline: now,
		GPUs: []pipeline.GPUStatus{{Name: "T4", State: "serving", Slots: 8, Busy: 7, Generations: 5, OutputTokens: 99, TokensPerSecond: 1.5}},
	}}
	const wantFull = `{
 "run": "gsm8k",
 "state": {
  "word": "running"
 },
 "stored_state": "open",
 "model": "tiny",
 "dataset": "train.jsonl",
 "items": 500,
 "generations": 1000,
 "stored": 690,
 "failed": 6,
 "dropped": 4,
 "batches": {
  "dead": 1,
  "done": 98,
  "dropped": 1,
  "planned": 50,
  "queued": 50
 },
 "prompt_tokens": 7000,
 "output_tokens": 90000,
 "thinking_tokens": 60000,
 "tokens_per_second": 30,
 "generations_per_second": 0.2,
 "eta_seconds": 1500,
 "first_done": "2025-05-01T11:00:00Z",
 "last_done": "2025-05-01T11:59:59Z",
 "stream": {
  "waiting": 40,
  "held": 10,
  "results": 3
 },
 "consumers": [
  {
   "id": "c1",
   "run": "gsm8k",
   "host": "h",
   "version": "v",
   "server_version": "0.17.4",
   "model": "tiny",
   "digest": "d",
   "gpus": [
    {
     "name": "T4",
     "state": "serving",
     "slots": 8,
     "busy": 7,
     "generations": 5,
     "output_tokens": 99,
     "tokens_per_second": 1.5
    }
   ],
   "started": "2025-05-01T12:00:00Z",
   "seen": "2025-05-01T12:00:00Z",
   "deadline": "2025-05-01T12:00:00Z"
  }
 ],
 "await_opinion": 2,
 "failures": [
  {
   "class": "unanswered",
   "cause": "why unanswered",
   "generations": 3,
   "batches": 1,
   "example": {
    "run": "gsm8k",
    "batch": 0,
    "generation": "gsm8k/000000000.000",
    "message": "why unanswered"
   },
   "cure": {
    "help": "read the last error: the server fails with this prompt and with no other",
    "redrive": "producer dead redrive --run gsm8k --class unanswered"
   }
  },
  {
   "class": "truncated",
   "cause": "why truncated",
   "generations": 2,
   "batches": 1,
   "example": {
    "run": "gsm8k",
    "batch": 0,
    "generation": "gsm8k/000000000.000",
    "message": "why truncated"
   },
   "cure": {
    "help": "give the answer more room",
    "redrive": "producer dead redrive --run gsm8k --class truncated --num-predict 4"
   }
  },
  {
   "class": "bad-item",
   "cause": "why bad-item",
   "generations": 1,
   "batches": 1,
   "example": {
    "run": "gsm8k",
    "batch": 0,
    "generation": "gsm8k/000000000.000",
    "message": "why bad-item"
   },
   "cure": {
    "help": "it fails again as it is: give the servers a larger context",
    "redrive": "producer dead redrive --run gsm8k --class bad-item",
    "drop": "producer dead drop --run gsm8k --class bad-item --yes"
   }
  }
 ]
}`
	if diff := cmp.Diff(wantFull, encoded(full)); diff != "" {
		t.Errorf("in the middle (-want +got):\n%s", diff)
	}
	empty, err := Take(t.Context(), &fakeStore{}, fakeStream{depth: errors.New("no servers")}, "gsm8k", now)
	if err != nil {
		t.Fatal(err)
	}
	const wantEmpty = `{
 "run": "gsm8k",
 "state": {
  "word": "planned"
 },
 "stored_state": "open",
 "model": "tiny",
 "dataset": "train.jsonl",
 "items": 500,
 "generations": 1000,
 "stored": 0,
 "failed": 0,
 "dropped": 0,
 "batches": {},
 "prompt_tokens": 0,
 "output_tokens": 0,
 "tokens_per_second": 0,
 "generations_per_second": 0,
 "stream_error": "no servers",
 "consumers": []
}`
	if diff := cmp.Diff(wantEmpty, encoded(empty)); diff != "" {
		t.Errorf("with nothing in it (-want +got):\n%s", diff)
	}
}

func TestAllRunsAreLookedAtInTheSameWay(t *testing.T) {
	store := &fakeStore{progress: halfway()}
	all, err := All(t.Context(), store, false, now)
	if err != nil {
		t.Fatal(err)
	}
	run, err := store.Run(t.Context(), "gsm8k")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Snapshot{at(run, store.progress)}, all); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	store.failing = errors.New("away")
	if _, err := All(t.Context(), store, false, now); !errors.Is(err, store.failing) {
		t.Errorf("got %v", err)
	}
}

func TestASnapshotSaysWhyGenerationsFailedAndWhatWaits(t *testing.T) {
	s, err := Take(t.Context(), &fakeStore{progress: halfway()}, fakeStream{}, "gsm8k", now)
	if err != nil || s.AwaitOpinion != 2 {
		t.Fatalf("%v, %d await a second opinion", err, s.AwaitOpinion)
	}
	type group struct {
		class       pipeline.Class
		generations int
		cause       string
	}
	var got []group
	for _, g := range s.Failures {
		got = append(got, group{g.Class, g.Generations, g.Cause})
		if !strings.Contains(g.Cure.Redrive, "producer dead redrive --run gsm8k --class "+string(g.Class)) {
			t.Errorf("what helps %s is %+v", g.Class, g.Cure)
		}
	}
	want := []group{{pipeline.Unanswered, 3, "why unanswered"}, {pipeline.Truncated, 2, "why truncated"}, {pipeline.BadItem, 1, "why bad-item"}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(group{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What rests may rest for long, so the time that is left does not count on it.
func TestTheETADoesNotCountOnWhatRests(t *testing.T) {
	gpu := func(resting int, seconds float64, because string) pipeline.GPUStatus {
		return pipeline.GPUStatus{Resting: resting, RestSeconds: seconds, RestingBecause: because}
	}
	for _, c := range []struct {
		gpus []pipeline.GPUStatus
		want *Resting
		eta  time.Duration
	}{
		{[]pipeline.GPUStatus{gpu(0, 0, "")}, nil, 1500 * time.Second},
		{[]pipeline.GPUStatus{gpu(3, 50, "later"), gpu(0, 0, ""), gpu(2, 43, "the server answers 500")}, &Resting{5, 43, "the server answers 500"}, 1375 * time.Second},
		{[]pipeline.GPUStatus{gpu(80, 5, "all")}, &Resting{80, 5, "all"}, 0},
	} {
		s, err := Take(t.Context(), &fakeStore{progress: halfway(), consumers: []pipeline.Presence{{ID: "c", GPUs: c.gpus}}}, nil, "gsm8k", now)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, s.Resting); diff != "" || s.ETA.Round(time.Millisecond) != c.eta {
			t.Errorf("ETA %s, want %s, resting (-want +got):\n%s", s.ETA, c.eta, diff)
		}
	}
}

func TestTheMeanRateIsOfTheTimeOfWork(t *testing.T) {
	m := pipeline.Measures{Answers: 690, Shortest: 1, Median: 100, Longest: 900, Work: 30 * time.Minute}
	s, err := Take(t.Context(), &fakeStore{progress: halfway(), measures: m}, nil, "gsm8k", now)
	if err != nil || s.WorkSeconds != 1800 || s.MeanTokensPerSecond != 50 || *s.Answers != m { // 90,000 tokens, begun an hour ago
		t.Errorf("%v: %g s of work, %g tokens a second, %+v", err, s.WorkSeconds, s.MeanTokensPerSecond, s.Answers)
	}
}
