package view

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/failures"
	"gleaner/internal/pipeline"
	"gleaner/internal/status"
)

func snapshot() status.Snapshot {
	return status.Snapshot{
		Run: "gsm8k", State: status.State{Word: status.Running}, Model: "tiny", Dataset: "train.jsonl", Items: 7473, Generations: 14946, Stored: 7000, Failed: 12, Dropped: 3,
		Batches:      map[pipeline.BatchState]int{pipeline.Planned: 900, pipeline.Queued: 100, pipeline.Done: 1000, pipeline.Dead: 2},
		PromptTokens: 700000, OutputTokens: 1400000, ThinkingTokens: 900000, TokensPerSecond: 1234.5, PerSecond: 8.04, ETA: 16*time.Minute + 30*time.Second,
		Stream:       &pipeline.StreamDepth{Waiting: 90, Held: 10, Results: 1},
		AwaitOpinion: 2, Resting: &status.Resting{Batches: 5, Seconds: 43, Because: "the server answers 500"},
		Failures: []failures.Group{
			{Class: pipeline.Unanswered, Generations: 9, Cause: "the server answers N", Example: failures.Example{Generation: "gsm8k/000000001.000", Message: "the server answers 500"},
				Cure: failures.Cure{Help: "read the last error", Redrive: "producer dead redrive --run gsm8k --class unanswered"}},
		},
	}
}

func consumersAt(now time.Time) []pipeline.Presence {
	return []pipeline.Presence{{ID: "01J", Host: "notebook", ServerVersion: "0.17.4", Seen: now.Add(-7 * time.Second), Deadline: now.Add(200 * time.Minute), GPUs: []pipeline.GPUStatus{
		{Name: "T4 0", State: "serving", Slots: 8, Busy: 8, Generations: 1500, TokensPerSecond: 101.7, Context: 4096, Digest: strings.Repeat("d1", 32)},
		{Name: "T4 1", State: "model tiny is not there", Slots: 8, Generations: 1, TokensPerSecond: 1.25},
	}}, {ID: "01K", Host: "ahead", Seen: now.Add(time.Minute), GPUs: []pipeline.GPUStatus{{Name: "A", State: "serving", Slots: 1}}}}
}

func TestALineShowsHowFarARunIs(t *testing.T) {
	for _, c := range []struct {
		snapshot status.Snapshot
		want     string
	}{
		{status.Snapshot{Generations: 50}, "░░░░░░░░░░░░░░░░░░░░░░░░ 0 %  0 of 50"},
		{snapshot(), "███████████░░░░░░░░░░░░░ 46 %  7,000 of 14,946  12 failed  1,234 tok/s  ETA 16m30s"},
		{status.Snapshot{Generations: 50, Stored: 50, TokensPerSecond: 5}, "████████████████████████ 100 %  50 of 50  5.0 tok/s"},
		{status.Snapshot{Run: "r", Generations: 50, State: status.State{Word: status.Paused, Reason: "the GPUs\nare needed"}},
			"░░░░░░░░░░░░░░░░░░░░░░░░ 0 %  0 of 50  paused: the GPUs are needed (`producer resume --run r` lets it go on)"},
		{status.Snapshot{Generations: 50, State: status.State{Word: status.WaitingConsumer, Reason: "none is present"}},
			"░░░░░░░░░░░░░░░░░░░░░░░░ 0 %  0 of 50  waiting for a consumer: none is present"},
	} {
		if diff := cmp.Diff(c.want, Line(c.snapshot)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func TestGPULinesShowWhatEachGPUDoes(t *testing.T) {
	want := []string{
		"  T4 0  ████████  8/8 slots  1,500 answers  101 tok/s",
		"  T4 1  ░░░░░░░░  0/8 slots       1 answer  1.2 tok/s  model tiny is not there",
		"  A     ░░░░░░░░  0/1 slots  no answer yet",
	}
	if diff := cmp.Diff(want, GPULines(consumersAt(time.Now()))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestASnapshotIsShownAsATable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // where time stands still
		full := snapshot()
		full.Consumers = consumersAt(time.Now())
		const wantFull = `
run             gsm8k (running)
dataset         train.jsonl, 7,473 rows
model           tiny
done            7,000 of 14,946 generations, 46 %
no answer       12 failed, 3 dropped
second opinion  2 failed ones wait for another GPU
batches         900 planned, 100 queued, 1,000 done, 2 dead
resting         5 rest, next try in 43s (the server answers 500)
tokens          1,400,000 out (about 900,000 of them thinking), 700,000 in
rate            1,234 tok/s, 8.0 generations/s
ETA             16m30s
stream          90 waiting, 10 held by workers, 1 message on the way back

  GPU   SLOTS  ANSWERS  TOKENS/S  CONTEXT  STATE
consumer 01J on notebook, seen 7s ago, ends in 3h20m0s, digest d1d1d1d1d1d1,
    server 0.17.4
  T4 0    8/8    1,500       101    4,096  serving
  T4 1    0/8        1       1.2        -  model tiny is not there
consumer 01K on ahead, seen 0s ago
  A       0/1        0       0.0        -  serving

what failed, and what helps

9 unanswered: no answer
  such as gsm8k/000000001.000: the server answers 500
  to do: read the last error
    producer dead redrive --run gsm8k --class unanswered
`
		if diff := cmp.Diff(wantFull, "\n"+Snapshot(full, 80)); diff != "" {
			t.Errorf("in the middle (-want +got):\n%s", diff)
		}
		const wantEmpty = `
run        r (loading)
dataset    a.jsonl, 1 row
model      tiny
done       0 of 1 generations, 0 %
batches    none
tokens     0 out, 0 in
rate       0.0 tok/s, 0.0 generations/s
ETA        -
stream     not asked: no servers
consumers  none present
`
		empty := status.Snapshot{Run: "r", State: status.State{Word: status.Loading}, Model: "tiny", Dataset: "a.jsonl", Items: 1, Generations: 1, StreamError: "no servers"}
		if diff := cmp.Diff(wantEmpty, "\n"+Snapshot(empty, 80)); diff != "" {
			t.Errorf("with nothing in it (-want +got):\n%s", diff)
		}
	})
}

func TestASnapshotSaysWhoseAnswersItTakes(t *testing.T) {
	s := snapshot()
	s.Simulated, s.Refused, s.Pins = true, 2, map[pipeline.EngineName]string{"ollama": strings.Repeat("a", 64), "other": "any", "unsaid": "x"}
	got := Snapshot(s, 200)
	for _, row := range []string{
		"gsm8k (running, simulated)\n", strings.Repeat("a", 64) + " on ollama\n", "any digest on other\n",
		"answers of 2 batches, because they were of another digest or came without their token; each gets another round if it needs one\n",
	} {
		if !strings.Contains(got, row) {
			t.Errorf("there is no %q in\n%s", row, got)
		}
	}
	if strings.Contains(got, "unsaid") {
		t.Errorf("it shows what stands for earlier consumers:\n%s", got)
	}
}

func TestALongStateWraps(t *testing.T) {
	s := snapshot()
	s.Consumers = consumersAt(time.Now())
	s.Consumers[0].GPUs[1].State, s.Consumers[0].GPUs[1].Detail = pipeline.GPUHeld, "model tiny is another one on this server,\n load that one here"
	shown := Snapshot(s, 80)
	for _, want := range []string{"held: model tiny is another one on\n", "\n" + strings.Repeat(" ", 43) + "this server,  load that one here\n"} {
		if !strings.Contains(shown, want) {
			t.Errorf("%q is missing in:\n%s", want, shown)
		}
	}
}

func TestAnETAIsShownAsFarAsItIsKnown(t *testing.T) {
	for _, c := range []struct {
		snapshot status.Snapshot
		want     string
	}{
		{status.Snapshot{Generations: 5, Stored: 4}, "not known yet"},
		{status.Snapshot{Generations: 5, Stored: 4, State: status.State{Word: status.Paused}}, "-"},
		{status.Snapshot{Generations: 5, Stored: 4, ETA: 90 * time.Second}, "1m30s"},
		{status.Snapshot{Generations: 5, Stored: 3, Failed: 1, Dropped: 1}, "done"},
	} {
		if got := ETA(c.snapshot); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestRunsAreListed(t *testing.T) {
	foreign := status.Snapshot{Run: "r", State: status.State{Word: status.Loading}, Model: "m\n2", Generations: 1}
	want := `
RUN    STATE    MODEL   DONE      OF        TOKENS/S  ETA
gsm8k  running  tiny   7,000  14,946  46 %     1,234  16m30s
r      loading  m 2        0       1   0 %       0.0  -
`
	if diff := cmp.Diff(want, "\n"+Snapshots([]status.Snapshot{snapshot(), foreign}, 80)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := Snapshots(nil, 80); !strings.Contains(got, "no runs") {
		t.Errorf("without a run: %q", got)
	}
}

func TestAStateIsShownWithItsReasonAndForHowLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := snapshot()
		for _, c := range []struct {
			state status.State
			want  string
		}{
			{status.State{Word: status.Paused, Reason: "lunch", Since: time.Now().Add(-5 * time.Minute)}, "paused: lunch (`producer resume --run gsm8k` lets it go on), since 5m0s ago"},
			{status.State{Word: status.Complete, Failed: 12, Since: time.Now().Add(-time.Hour)}, "complete with 12 failed, since 1h0m0s ago"},
			{status.State{Word: status.WaitingRoom, Reason: "WORK is full"}, "waiting for room: WORK is full"},
		} {
			s.State = c.state
			if got := Snapshot(s, 200); !strings.Contains(got, "\nstate           "+c.want+"\n") {
				t.Errorf("there is no %q in\n%s", c.want, got)
			}
		}
	})
}

func TestWhatWasWorkedIsSaidWithTheLengthsOfTheAnswers(t *testing.T) {
	s := snapshot()
	s.Answers, s.WorkSeconds, s.MeanTokensPerSecond = &pipeline.Measures{Answers: 7000, Shortest: 3, Median: 180, Longest: 1024, Thought: 12}, 3600, 388.9
	const want = "1h0m0s of work, 388 tok/s; answers of 3 to 1,024 tokens, median 180, 12 with thinking"
	if got := Worked(s); got != want {
		t.Errorf("got %q", got)
	}
	if got := Snapshot(s, 200); !strings.Contains(got, "so far          "+want+"\n") {
		t.Errorf("it is missing in\n%s", got)
	}
	if got := Worked(snapshot()); got != "" {
		t.Errorf("of a run that was not measured: %q", got)
	}
}
