package consumer

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

// A modelServer is a fakeModel that says which model it has.
type modelServer struct {
	fakeModel
	mu   sync.Mutex
	info pipeline.ModelInfo
	away error // what Loaded returns
	asks int
	hang func(ctx context.Context) error // what Loaded does first; nil: nothing
}

func newModelServer(digest string, context int) *modelServer {
	return &modelServer{info: pipeline.ModelInfo{Name: "tiny:latest", Engine: pipeline.Ollama, Digest: digest, Context: context}}
}

func (s *modelServer) Loaded(ctx context.Context, _ string) (pipeline.ModelInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asks++
	if hang := s.hang; hang != nil {
		s.mu.Unlock()
		err := hang(ctx)
		if s.mu.Lock(); err != nil {
			return pipeline.ModelInfo{}, err
		}
	}
	return s.info, s.away
}

func (s *modelServer) switchTo(digest string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.info.Digest = digest
}

// lane returns the server as a GPU.
func (s *modelServer) lane(name string, slots int) LaneConfig {
	return LaneConfig{Name: name, Backend: s, Slots: slots, Context: s.info.Context, Model: s.info}
}

// A queueInfo is what the queue says of a run.
type queueInfo struct {
	mu   sync.Mutex
	info pipeline.RunInfo
	asks int
}

func (q *queueInfo) Info(context.Context) (pipeline.RunInfo, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.asks++
	return q.info, nil
}

func (q *queueInfo) set(change func(*pipeline.RunInfo)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	change(&q.info)
}

func (q *queueInfo) asked() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.asks
}

// watched returns a config with a run whose queue answers.
func watched(q *queueInfo) Config {
	cfg := config()
	cfg.Info, cfg.Stay, cfg.Identity.Model = q.Info, true, "tiny"
	q.info.Run = "r"
	cfg.Known = q.info
	return cfg
}

func TestALetterSaysAllThatIsKnownOfAVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), newModelServer(strings.Repeat("a", 64), 512)
		s.answer = func(ctx context.Context, try int, r pipeline.Request) (pipeline.Completion, error) {
			completion, err := after(ctx, time.Second)
			switch r.Prompt() {
			case "long":
				return pipeline.Completion{}, pipeline.Fail(pipeline.BadItem, "%w", &pipeline.ContextError{PromptTokens: 700, Context: 512, Err: errors.New("too long")})
			case "full":
				return pipeline.Completion{Text: "once upon", Finish: pipeline.FinishLength, PromptTokens: 500, OutputTokens: 12}, pipeline.Fail(pipeline.Truncated, "cut")
			case "cut":
				return pipeline.Completion{Text: "once", Finish: pipeline.FinishLength, PromptTokens: 5, OutputTokens: r.Options.NumPredict}, pipeline.Fail(pipeline.Truncated, "cut")
			}
			return completion, err
		}
		w.add(1, 1, "good", "long", "full", "cut")
		r := w.start(watched(&queueInfo{}), s.lane("T4", 1))
		time.Sleep(time.Minute)
		if err := r.end(); err != nil {
			t.Error(err)
		}
		type known struct {
			Judge                          pipeline.LaneID
			Engine                         pipeline.EngineName
			Digest                         string
			Context, Prompt, Needs, Number int
			Exceeds                        bool
			Text                           string
		}
		judge := pipeline.LaneID{Consumer: "c1", GPU: "T4"}
		want := map[int]known{
			1: {judge, "ollama", strings.Repeat("a", 64), 512, 700, 701, 1, true, ""},
			2: {judge, "ollama", strings.Repeat("a", 64), 512, 500, 513, 2, true, "once upon"},
			3: {judge, "ollama", strings.Repeat("a", 64), 512, 5, 0, 3, false, "once"},
		}
		letter := w.only("dead")[0].dead
		got := map[int]known{}
		for _, f := range letter.Failures {
			got[f.Index] = known{f.Judge, f.Engine, f.Digest, f.Context, f.PromptTokens, f.Needs, f.Outcome, f.Exceeds, f.Text}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if sent := w.only("publish")[0].sent; sent.Engine != "ollama" || sent.Digest != strings.Repeat("a", 64) {
			t.Errorf("the results say %q, %q", sent.Engine, sent.Digest)
		}
	})
}

func TestAVerdictThatStaysIsCopiedAndNotRun(t *testing.T) {
	final := pipeline.GenerationFailure{
		Generation: pipeline.Generation{Index: 5, Item: 15, Sample: 1}, Class: pipeline.BadItem, Message: "too long", Judge: pipeline.LaneID{Consumer: "c0", GPU: "X"},
	}
	for name, c := range map[string]struct {
		deliveries int
		prompts    []string
		want       map[int]pipeline.Class
		judged     []pipeline.LaneID
	}{
		"nothing else fails":         {1, []string{"good"}, map[int]pipeline.Class{5: pipeline.BadItem}, nil},
		"something else fails":       {1, []string{"good", "bad"}, map[int]pipeline.Class{1: pipeline.Degenerate, 5: pipeline.BadItem}, nil},
		"it was delivered too often": {26, []string{"good"}, map[int]pipeline.Class{0: pipeline.Undeliverable, 5: pipeline.BadItem}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, m := newWorld(t), &fakeModel{answer: failing(map[string][]pipeline.Class{"bad": {pipeline.Degenerate}})}
				w.addWork(1, c.deliveries, func(work *pipeline.Work) {
					work.Final, work.Judged = []pipeline.GenerationFailure{final}, []pipeline.LaneID{final.Judge}
				}, c.prompts...)
				r := w.start(config(), LaneConfig{Name: "T4", Backend: m, Slots: 1})
				time.Sleep(time.Minute)
				if err := r.end(); err != nil {
					t.Error(err)
				}
				if diff := cmp.Diff(c.want, w.failed(1)); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				letter := w.only("dead")[0].dead
				if diff := cmp.Diff([]pipeline.LaneID{final.Judge, {Consumer: "c1", GPU: "T4"}}, letter.Judged); diff != "" {
					t.Errorf("judged by (-want +got):\n%s", diff)
				}
				if last := letter.Failures[len(letter.Failures)-1]; !cmp.Equal(last, final) {
					t.Errorf("the verdict that stays became %+v", last)
				}
			})
		})
	}
}

func TestABatchThatWasJudgedHereGoesToAnotherGPU(t *testing.T) {
	here := pipeline.LaneID{Consumer: "c1", GPU: "A"}
	for name, c := range map[string]struct {
		deliveries, needs int
		lanes             int // that serve the run elsewhere
		judged            []pipeline.LaneID
		peer              bool
		want              string // the GPU that answers; empty: it is handed back
		delay             time.Duration
	}{
		"judged by another one":                                {1, 0, 0, []pipeline.LaneID{{Consumer: "c2", GPU: "A"}}, false, "A", 0},
		"judged here":                                          {1, 0, 0, []pipeline.LaneID{here}, false, "", 5 * time.Second},
		"judged here, and it was handed back":                  {2, 0, 0, []pipeline.LaneID{here}, false, "", 30 * time.Second},
		"judged here, and no other one wants it":               {4, 0, 0, []pipeline.LaneID{here}, false, "A", 0},
		"judged here, the fourth time, and another one serves": {4, 0, 2, []pipeline.LaneID{here}, false, "", time.Second},
		"judged here, the 12th time, and another one serves":   {12, 0, 2, []pipeline.LaneID{here}, false, "", 20 * time.Second},
		"judged here, the last time, and another one serves":   {22, 0, 2, []pipeline.LaneID{here}, false, "A", 0},
		"it needs more":                                        {1, 1025, 0, nil, false, "", 5 * time.Second},
		"it needs as much as there is":                         {1, 1024, 0, nil, false, "A", 0},
		"judged here, and another GPU here is idle":            {1, 0, 0, []pipeline.LaneID{here}, true, "B", 0},
		"another GPU here has more":                            {1, 1025, 0, nil, true, "B", 0},
		"no GPU here has as much":                              {1, 4097, 0, nil, true, "", time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, a := newWorld(t), newModelServer("d", 1024)
				gpus := []LaneConfig{a.lane("A", 1)}
				b := newModelServer("d", 4096)
				if c.peer {
					gpus = append(gpus, b.lane("B", 1))
				}
				r := w.start(watched(&queueInfo{info: pipeline.RunInfo{Lanes: c.lanes}}), gpus...)
				synctest.Wait()     // all workers wait for work
				for i := range 12 { // more than either GPU has workers
					w.addWork(i, c.deliveries, func(work *pipeline.Work) { work.Judged, work.Needs = c.judged, c.needs }, "p")
				}
				time.Sleep(4 * time.Second)
				for _, e := range w.only("publish") {
					if c.want == "" || e.sent.GPU != c.want && !c.peer {
						t.Errorf("answered by %q, want %q", e.sent.GPU, c.want)
					}
				}
				for _, e := range w.only("hand-back") {
					if !c.peer && c.want != "" || c.want == "" && e.delay != c.delay {
						t.Errorf("handed back for %s, want %s", e.delay, c.delay)
					}
				}
				if c.want == "B" && len(a.asked()) != 0 {
					t.Error("the first GPU worked on it")
				}
				if err := r.end(); err != nil && !errors.Is(err, ErrCut) {
					t.Error(err)
				}
			})
		})
	}
}
