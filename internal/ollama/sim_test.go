package ollama_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/ollama"
	"gleaner/internal/ollamasim"
	"gleaner/internal/ollamasim/simtest"
	"gleaner/internal/pipeline"
)

func simulate(t *testing.T, cfg ollamasim.Config, client ollama.Config) (*ollamasim.Server, *ollama.Client) {
	t.Helper()
	s, url := simtest.Start(t, cfg)
	return s, dial(t, url, client)
}

// until waits for a condition.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick, limit := time.NewTicker(time.Millisecond), time.After(30*time.Second)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("it does not happen that %s", what)
		}
	}
}

var askSim = pipeline.Request{Model: "simulated/sim", Messages: pipeline.User("How many apples do 3 children have?"), Seed: 7, Options: pipeline.Options{NumPredict: 3000}}

func TestFaultsOfAServerHaveTheirClasses(t *testing.T) {
	for _, test := range []struct {
		fault ollamasim.Fault
		class pipeline.Class
		is    error
	}{
		{ollamasim.Fault{Kind: ollamasim.Hang}, pipeline.Retryable, pipeline.ErrStalled},
		{ollamasim.Fault{Kind: ollamasim.Hang, After: 3}, pipeline.Retryable, pipeline.ErrStalled},
		{ollamasim.Fault{Kind: ollamasim.Crash}, pipeline.Retryable, pipeline.ErrRunnerCrashed},
		{ollamasim.Fault{Kind: ollamasim.Crash, After: 3}, pipeline.Retryable, pipeline.ErrRunnerCrashed},
		{ollamasim.Fault{Kind: ollamasim.Cut, After: 3}, pipeline.Retryable, nil},
		{ollamasim.Fault{Kind: ollamasim.Fail}, pipeline.Retryable, nil},
		{ollamasim.Fault{Kind: ollamasim.Busy}, pipeline.Retryable, nil},
		{ollamasim.Fault{Kind: ollamasim.Refuse}, pipeline.Retryable, nil},
		{ollamasim.Fault{Kind: ollamasim.Loop, After: 3}, pipeline.Degenerate, nil},
		{ollamasim.Fault{Kind: ollamasim.Empty}, pipeline.Degenerate, pipeline.ErrEmpty},
		{ollamasim.Fault{Kind: ollamasim.Unfinished, After: 3}, pipeline.Retryable, pipeline.ErrDropped},
		{ollamasim.Fault{Kind: ollamasim.Repeat, After: 3}, pipeline.Degenerate, pipeline.ErrRepeats},
		{ollamasim.Fault{Kind: ollamasim.Short, After: 3}, pipeline.Truncated, nil},
		{ollamasim.Fault{Kind: ollamasim.Silent, After: 3}, pipeline.Truncated, pipeline.ErrEndless},
		{ollamasim.Fault{Kind: ollamasim.Page}, pipeline.Retryable, nil},
		{ollamasim.Fault{Kind: ollamasim.Reason}, pipeline.Fatal, nil},
		{ollamasim.Fault{Kind: ollamasim.Reason, Text: "load"}, pipeline.Retryable, nil},
		{ollamasim.Fault{Kind: ollamasim.Say, Text: "<think> It is 42 , but wait"}, pipeline.Truncated, nil},
		{ollamasim.Fault{Kind: ollamasim.Say, Text: "It is 42 \n </think> \n"}, pipeline.Degenerate, pipeline.ErrEmpty},
	} {
		for _, instant := range []bool{false, true} {
			s, client := simulate(t, ollamasim.Config{Speed: 100, Instant: instant}, ollama.Config{})
			if test.fault.Kind == ollamasim.Hang { // only this one waits for a limit
				client = dial(t, client.URL(), ollama.Config{FirstToken: 200 * time.Millisecond, Stall: 200 * time.Millisecond})
			}
			test.fault.Count = 1
			s.Inject(test.fault)
			_, err := client.Generate(t.Context(), askSim)
			if pipeline.ClassOf(err) != test.class || err == nil || test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("%s after %d tokens: class %s, want %s and %v: %v", test.fault.Kind, test.fault.After, pipeline.ClassOf(err), test.class, test.is, err)
			}
			if _, err := dial(t, client.URL(), ollama.Config{}).Generate(t.Context(), askSim); err != nil {
				t.Errorf("the request after %s: %v", test.fault.Kind, err)
			}
		}
	}
}

func TestAnAnswerThatGoesOnBehindItsLimitIsCutOff(t *testing.T) {
	s, client := simulate(t, ollamasim.Config{Speed: 1000}, ollama.Config{})
	s.Inject(ollamasim.Fault{Kind: ollamasim.Endless, Count: 1})
	req := askSim
	req.Options.NumPredict = 20
	got, err := client.Generate(t.Context(), req)
	if pipeline.ClassOf(err) != pipeline.Truncated || !errors.Is(err, pipeline.ErrEndless) || got.Text == "" {
		t.Errorf("with %q came class %s: %v", got.Text, pipeline.ClassOf(err), err)
	}
}

func TestFaultyEndsLoseNoAnswer(t *testing.T) {
	for _, fault := range []ollamasim.Fault{
		{Kind: ollamasim.Negative}, {Kind: ollamasim.Think, After: 5}, {Kind: ollamasim.Say, Text: "<think> hm </think> 42"}, {Kind: ollamasim.Say, Text: "hm \n</think>\n 42"},
	} {
		s, client := simulate(t, ollamasim.Config{Speed: 100}, ollama.Config{})
		s.Inject(fault)
		got, err := client.Generate(t.Context(), askSim)
		if err != nil || got.PromptTokens < 0 || got.OutputTokens < 1 || fault.Kind != ollamasim.Negative && got.Thinking == 0 || fault.Kind == ollamasim.Say && got.Text != "42" {
			t.Errorf("%s %q: %+v, %v", fault.Kind, fault.Text, got, err)
		}
	}
}

func TestACrashOfTheRunnerEndsEveryRequestThatHasASlot(t *testing.T) {
	s, client := simulate(t, ollamasim.Config{Slots: 3, Models: []string{"sim", "sim-endless"}}, ollama.Config{})
	errs := make(chan error, 2)
	for seed := range 2 {
		go func() {
			req := askSim
			req.Model, req.Seed = "simulated/sim-endless", seed
			_, err := client.Generate(t.Context(), req)
			errs <- err
		}()
	}
	until(t, "two requests have slots", func() bool { busy, _ := s.GPU().Load(); return busy == 2 })
	s.Inject(ollamasim.Fault{Kind: ollamasim.Crash, Count: 1})
	_, err := client.Generate(t.Context(), askSim)
	for _, err := range []error{err, <-errs, <-errs} {
		if !errors.Is(err, pipeline.ErrRunnerCrashed) {
			t.Errorf("not a crash: %v", err)
		}
	}
}

func TestAPulledModelIsThereAndProgressIsToldOnTheWay(t *testing.T) {
	_, client := simulate(t, ollamasim.Config{Instant: true}, ollama.Config{})
	var steps []string
	var last, size int64
	err := client.Pull(t.Context(), "mistral", func(status string, done, total int64) {
		status, _, _ = strings.Cut(status, " ")
		if !slices.Contains(steps, status) {
			steps = append(steps, status)
		}
		if total > 0 {
			last, size = done, total
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"pulling", "verifying", "writing", "success"}, steps); d != "" || last != size || size == 0 {
		t.Errorf("%d of %d bytes, steps (-want +got):\n%s", last, size, d)
	}
	m, err := client.Describe(t.Context(), "simulated/mistral")
	if err != nil || m.Name != "simulated/mistral:latest" {
		t.Errorf("described as %+v, %v", m, err)
	}
}

func TestTheContextOfALoadedModelIsThatOfTheServer(t *testing.T) {
	_, client := simulate(t, ollamasim.Config{Instant: true, Context: 2048}, ollama.Config{})
	before, err := client.Describe(t.Context(), "simulated/sim")
	if err != nil {
		t.Fatal(err)
	}
	if err := client.WarmUp(t.Context(), "simulated/sim"); err != nil {
		t.Fatal(err)
	}
	after, err := client.Describe(t.Context(), "simulated/sim")
	if err != nil {
		t.Fatal(err)
	}
	if before.Context != 32768 || after.Context != 2048 {
		t.Errorf("the context is %d before the model is loaded and %d after", before.Context, after.Context)
	}
}

func TestTheFirstChatUsesWhatTheWarmUpHasLoaded(t *testing.T) {
	s, client := simulate(t, ollamasim.Config{Instant: true, ReloadOnShift: true}, ollama.Config{})
	if err := client.WarmUp(t.Context(), askSim.Model); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := client.Generate(t.Context(), askSim); err != nil {
			t.Fatal(err)
		}
	}
	if loads := s.Stats().Loads; loads != 1 {
		t.Errorf("the model was loaded %d times", loads)
	}
}

func TestASimulatedModelCallsATool(t *testing.T) {
	for _, c := range []struct {
		fault ollamasim.Fault
		name  string
		texts bool
	}{
		{ollamasim.Fault{Kind: ollamasim.Call}, "weather", false},
		{ollamasim.Fault{Kind: ollamasim.Call, After: 3, Text: "now"}, "now", true},
	} {
		for _, instant := range []bool{false, true} {
			s, client := simulate(t, ollamasim.Config{Speed: 100, Instant: instant}, ollama.Config{})
			s.Inject(c.fault)
			req := askSim
			req.Tools = weatherTools
			got, err := client.Generate(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			message := pipeline.AnswerMessage(got.Text, req.Tools)
			want := pipeline.JSON(`[{"id":"call_simulated","type":"function","function":{"name":"` + c.name + `","arguments":{"simulated":true}}}]`)
			if message.ToolCalls != want || (message.Content != "") != c.texts || got.OutputTokens < 1 {
				t.Errorf("%+v makes %+v", got, message)
			}
		}
	}
}

func TestASimulatedAnswerGoesOnBehindItsPrefill(t *testing.T) {
	_, client := simulate(t, ollamasim.Config{Instant: true}, ollama.Config{})
	for prefill, joint := range map[string]string{"Well,": "Well, ", "Answer:\n": "Answer:\n"} {
		req := askSim
		req.Messages = append(pipeline.User("why?"), pipeline.Message{Role: pipeline.RoleAssistant, Content: prefill})
		got, err := client.Generate(t.Context(), req)
		if err != nil || !strings.HasPrefix(got.Text, joint) || strings.HasPrefix(got.Text, joint+" ") {
			t.Errorf("%q: %q, %v", prefill, got.Text, err)
		}
	}
}
