// Package ollamatest holds the suite that every Ollama server has to pass through the project's
// client, the simulated one as well as the real one, and what it takes to have a real one: tiny
// models and a process of its own.
package ollamatest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/needtest"
	"gleaner/internal/ollama"
	"gleaner/internal/pipeline"
)

// Models names the models of a server by how their answers end.
type Models struct {
	Stop    string // by themselves, mostly within a hundred tokens
	Endless string // only where they are cut off
	Thinks  string // by themselves; the model can think, and the others cannot
	Loop    string // by the server's repeat abort

	Tools string // its template has a place for tools; it never ends
	Plain string // its template has none; it never ends
}

// missing is a model that no server has and no registry gives.
const missing = "no-such-model-of-gleaner"

// Run tests a server. It generates some ten thousand tokens.
func Run(t *testing.T, url string, models Models) {
	client, err := ollama.New(url, ollama.Config{FirstToken: time.Minute, Stall: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	s := &suite{client: client, models: models}
	if err := client.WarmUp(t.Context(), models.Stop); err != nil {
		t.Fatal(err)
	}
	if s.model, err = client.Describe(t.Context(), models.Stop); err != nil {
		t.Fatal(err)
	}
	t.Run("it answers and lists its models", s.lists)
	t.Run("it describes a model", s.describes)
	t.Run("a missing model is fatal, and the error says what is there", s.modelIsMissing)
	t.Run("a model can be loaded without asking it anything", s.warmsUp)
	t.Run("an answer that ends by itself counts", s.stops)
	t.Run("the same seed gives the same answer, another seed another", s.seeds)
	t.Run("an answer cut off by num_predict is truncated", s.lengthIsTruncated)
	t.Run("an answer cut off by the context is truncated", s.fullContextIsTruncated)
	t.Run("a prompt that is too long is a bad item", s.longPromptIsBadItem)
	t.Run("an answer that repeats itself is degenerate", s.loopIsDegenerate)
	t.Run("a cancelled request is interrupted at once and frees its slot", s.cancelFreesSlots)
	t.Run("a deadline is retryable", s.deadlineIsRetryable)
	t.Run("the cause of a cancellation sets the class", s.causeSetsClass)
	t.Run("requests beyond the slots wait and are answered", s.queues)
	t.Run("an answer ends before a stop sequence", s.stopSequence)
	t.Run("a system prompt is part of the prompt", s.systemPrompt)
	t.Run("an answer goes on where its prefill ends", s.continues)
	t.Run("tools, calls and results are part of the prompt", s.readsTools)
	t.Run("a model without tools makes a bad item of them and answers the rest", s.refusesTools)
	t.Run("options are taken", s.options)
	t.Run("a model thinks if it is told to, and where nothing is said as it does by itself", s.thinks)
	t.Run("a model that cannot think, and a level that it does not know, are fatal", s.cannotThink)
	t.Run("an answer follows the schema that was asked for", s.follows)
	t.Run("a schema that is none is fatal", s.badSchema)
	t.Run("an option out of range is fatal before anything is sent", s.badOption)
	t.Run("a model that no registry has cannot be pulled", s.pullFails)
}

type suite struct {
	client *ollama.Client
	models Models
	model  pipeline.ModelInfo
}

func request(model string, seed, numPredict int) pipeline.Request {
	return pipeline.Request{Model: model, Messages: pipeline.User("A farmer has 17 sheep and buys 5 more. How many sheep are there?"), Seed: seed,
		Options: pipeline.Options{NumPredict: numPredict}}
}

// wantClass checks that a request failed as it should.
func wantClass(t *testing.T, err error, class pipeline.Class) {
	t.Helper()
	if err == nil {
		t.Fatalf("there was no error, want one of class %s", class)
	}
	if got := pipeline.ClassOf(err); got != class {
		t.Fatalf("class %s, want %s: %v", got, class, err)
	}
}

// wantParts checks that an error says what it has to.
func wantParts(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("the error does not say %q: %v", p, err)
		}
	}
}

func (s *suite) lists(t *testing.T) {
	if err := s.client.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	names, err := s.client.Models(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{s.models.Stop, s.models.Endless, s.models.Loop} {
		if !slices.Contains(names, want+":latest") {
			t.Errorf("%s is not among %v", want, names)
		}
	}
}

func (s *suite) describes(t *testing.T) {
	m := s.model
	if m.Name != s.models.Stop+":latest" || !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(m.Digest) || m.Context < 256 || m.ServerVersion == "" {
		t.Errorf("described as %+v", m)
	}
	again, err := s.client.Describe(t.Context(), strings.ToUpper(s.models.Stop[:1])+s.models.Stop[1:]+":latest")
	if err != nil {
		needtest.Skip(t, "this server tells upper case from lower case: %v", err)
	}
	if d := cmp.Diff(m, again); d != "" {
		t.Errorf("by its full name it is another model (-short +full):\n%s", d)
	}
}

func (s *suite) modelIsMissing(t *testing.T) {
	_, err := s.client.Describe(t.Context(), missing)
	wantClass(t, err, pipeline.Fatal)
	wantParts(t, err, missing, s.models.Stop+":latest", "ollama pull "+missing)
	if !errors.Is(err, ollama.ErrNoModel) {
		t.Errorf("not ErrNoModel: %v", err)
	}
	_, err = s.client.Generate(t.Context(), request(missing, 1, 10))
	wantClass(t, err, pipeline.Fatal)
	wantParts(t, err, missing, "ollama pull "+missing)
	err = s.client.WarmUp(t.Context(), missing)
	wantClass(t, err, pipeline.Fatal)
}

func (s *suite) warmsUp(t *testing.T) {
	if err := s.client.WarmUp(t.Context(), s.models.Endless); err != nil {
		t.Error(err)
	}
}

// someSeed returns the first seed with which the model ends by itself, and its answer.
func (s *suite) someSeed(t *testing.T, change func(*pipeline.Request)) (int, pipeline.Completion) {
	t.Helper()
	var last error
	for seed := 1; seed <= 30; seed++ {
		req := request(s.models.Stop, seed, s.model.Context/4)
		if change != nil {
			change(&req)
		}
		c, err := s.client.Generate(t.Context(), req)
		if err == nil {
			return seed, c
		}
		if class := pipeline.ClassOf(err); class != pipeline.Truncated && class != pipeline.Degenerate {
			t.Fatalf("class %s: %v", class, err)
		}
		last = err
	}
	t.Fatalf("no answer of thirty ended by itself: %v", last)
	return 0, pipeline.Completion{}
}

func (s *suite) stops(t *testing.T) {
	_, c := s.someSeed(t, nil)
	if c.Finish != "stop" || strings.TrimSpace(c.Text) == "" || !utf8.ValidString(c.Text) || c.PromptTokens < 5 || c.OutputTokens < 1 || c.Duration <= 0 {
		t.Errorf("the answer is %+v", c)
	}
}

func (s *suite) seeds(t *testing.T) {
	seed, first := s.someSeed(t, nil)
	again, err := s.client.Generate(t.Context(), request(s.models.Stop, seed, s.model.Context/4))
	if err != nil {
		t.Fatal(err)
	}
	again.Duration = first.Duration // the only thing that may differ
	if d := cmp.Diff(first, again); d != "" {
		t.Errorf("the same seed gave another answer (-first +second):\n%s", d)
	}
	_, other := s.someSeed(t, func(r *pipeline.Request) { r.Seed += 1000 })
	if other.Text == first.Text {
		t.Errorf("another seed gave the same answer: %q", first.Text)
	}
}

func (s *suite) lengthIsTruncated(t *testing.T) {
	c, err := s.client.Generate(t.Context(), request(s.models.Endless, 1, 7))
	wantClass(t, err, pipeline.Truncated)
	wantParts(t, err, "7 tokens", "--num-predict 7")
	if c.Text == "" || c.Finish != "length" || c.OutputTokens != 7 || c.PromptTokens < 5 {
		t.Errorf("what came with the failure is %+v", c)
	}
}

func (s *suite) fullContextIsTruncated(t *testing.T) {
	c, err := s.client.Generate(t.Context(), request(s.models.Endless, 1, 2*s.model.Context))
	wantClass(t, err, pipeline.Truncated)
	if room := s.model.Context - c.PromptTokens; c.OutputTokens < room-2 || c.OutputTokens > room+2 {
		t.Errorf("%d tokens after a prompt of %d in a context of %d", c.OutputTokens, c.PromptTokens, s.model.Context)
	}
}

func (s *suite) longPromptIsBadItem(t *testing.T) {
	req := request(s.models.Stop, 1, 10)
	req.Messages = pipeline.User(strings.Repeat("word ", s.model.Context+10))
	_, err := s.client.Generate(t.Context(), req)
	wantClass(t, err, pipeline.BadItem)
	var exceeds *pipeline.ContextError
	if !errors.As(err, &exceeds) || exceeds.Context != 0 && exceeds.Context != s.model.Context {
		t.Errorf("it is no ContextError, or one with another context than %d: %+v, %v", s.model.Context, exceeds, err)
	}
}

func (s *suite) loopIsDegenerate(t *testing.T) {
	_, err := s.client.Generate(t.Context(), request(s.models.Loop, 1, 200))
	wantClass(t, err, pipeline.Degenerate)
	wantParts(t, err, "repeats")
}

// long is a request that takes longer than any test waits for a cancellation.
func (s *suite) long(seed int) pipeline.Request {
	return request(s.models.Endless, seed, s.model.Context)
}

func (s *suite) cancelFreesSlots(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const requests = 20 // more than there are slots
	errs := make([]error, requests)
	var all sync.WaitGroup
	for i := range requests {
		all.Go(func() { _, errs[i] = s.client.Generate(ctx, s.long(i)) })
	}
	time.AfterFunc(100*time.Millisecond, cancel) // whenever it comes, what follows has to hold
	all.Wait()
	interrupted := 0
	for _, err := range errs {
		switch pipeline.ClassOf(err) {
		case pipeline.Interrupted:
			interrupted++
			if !errors.Is(err, context.Canceled) {
				t.Errorf("not context.Canceled: %v", err)
			}
		case pipeline.Truncated: // on a fast machine some of them may have come to their end
		default:
			t.Errorf("class %s: %v", pipeline.ClassOf(err), err)
		}
	}
	if interrupted == 0 {
		t.Error("no request was interrupted")
	}
	next, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	_, err := s.client.Generate(next, request(s.models.Endless, 1, 3))
	wantClass(t, err, pipeline.Truncated)
}

func (s *suite) deadlineIsRetryable(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := s.client.Generate(ctx, s.long(1))
	wantClass(t, err, pipeline.Retryable)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("not context.DeadlineExceeded: %v", err)
	}
}

func (s *suite) causeSetsClass(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(pipeline.Fail(pipeline.Retryable, "the whole GPU stalls"))
	_, err := s.client.Generate(ctx, s.long(1))
	wantClass(t, err, pipeline.Retryable)
	wantParts(t, err, "the whole GPU stalls")
}

func (s *suite) queues(t *testing.T) {
	const requests, tokens = 40, 20
	var all sync.WaitGroup
	problems := make(chan string, requests)
	for i := range requests {
		all.Go(func() {
			c, err := s.client.Generate(t.Context(), request(s.models.Endless, i, tokens))
			if pipeline.ClassOf(err) != pipeline.Truncated || c.OutputTokens != tokens {
				problems <- fmt.Sprintf("request %d: %d tokens, %v", i, c.OutputTokens, err)
			}
		})
	}
	all.Wait()
	close(problems)
	for p := range problems {
		t.Error(p)
	}
}

func (s *suite) stopSequence(t *testing.T) {
	_, c := s.someSeed(t, func(r *pipeline.Request) {
		r.Model = s.models.Endless
		r.Options.Stop = []string{"no such words", "."}
	})
	if strings.Contains(c.Text, ".") || c.Finish != "stop" {
		t.Errorf("the answer is %+v", c)
	}
}

func (s *suite) systemPrompt(t *testing.T) {
	req := request(s.models.Endless, 1, 1)
	without, err := s.client.Generate(t.Context(), req)
	wantClass(t, err, pipeline.Truncated)
	req.Messages = append([]pipeline.Message{{Role: pipeline.RoleSystem, Content: "You are a patient teacher of arithmetic who explains each step."}}, req.Messages...)
	with, err := s.client.Generate(t.Context(), req)
	wantClass(t, err, pipeline.Truncated)
	if with.PromptTokens < without.PromptTokens+5 {
		t.Errorf("%d tokens with a system prompt, %d without", with.PromptTokens, without.PromptTokens)
	}
}

// promptTokens returns how many tokens a request has, and what there is of its answer.
func (s *suite) promptTokens(t *testing.T, req pipeline.Request) (int, string) {
	t.Helper()
	c, err := s.client.Generate(t.Context(), req)
	wantClass(t, err, pipeline.Truncated)
	return c.PromptTokens, c.Text
}

func (s *suite) continues(t *testing.T) {
	const begin = "There are many sheep because the"
	for _, model := range []string{s.models.Endless, s.models.Tools} {
		req := request(model, 1, 5)
		without, _ := s.promptTokens(t, req)
		req.Messages = append(req.Messages, pipeline.Message{Role: pipeline.RoleAssistant, Content: begin})
		with, text := s.promptTokens(t, req)
		if rest, ok := strings.CutPrefix(text, begin); !ok || strings.TrimSpace(rest) == "" || with < without+3 {
			t.Errorf("%s: after %d tokens instead of %d comes %q", model, with, without, text)
		}
	}
}

// tools are what the suite offers, and called is a chat in which one was called.
func (s *suite) tools() (tools pipeline.JSON, called []pipeline.Message) {
	question := request("", 0, 0).Messages
	return `[{"type":"function","function":{"name":"count","description":"counts the animals of a farm","parameters":{"type":"object","properties":{"animal":{"type":"string"}},"required":["animal"]}}}]`,
		append(question, pipeline.Message{Role: pipeline.RoleAssistant, ToolCalls: `[{"id":"c1","type":"function","function":{"name":"count","arguments":{"animal":"sheep"}}}]`},
			pipeline.Message{Role: pipeline.RoleTool, Content: "there are twenty two of them", ToolName: "count", ToolCallID: "c1"})
}

func (s *suite) readsTools(t *testing.T) {
	tools, called := s.tools()
	req := request(s.models.Tools, 1, 5)
	asked, _ := s.promptTokens(t, req)
	req.Tools = tools
	offered, _ := s.promptTokens(t, req)
	req.Messages = called[:2:2]
	req.Messages = append(req.Messages, called[0])
	one, _ := s.promptTokens(t, req)
	req.Messages = called
	result, _ := s.promptTokens(t, req)
	req.Tools = ""
	without, _ := s.promptTokens(t, req)
	if offered < asked+15 || one < offered+5 || result < offered+10 || without > result-15 || without < asked+10 {
		t.Errorf("%d tokens, with tools %d, with a call %d, with its result %d, and that without tools %d", asked, offered, one, result, without)
	}
}

func (s *suite) refusesTools(t *testing.T) {
	tools, called := s.tools()
	req := request(s.models.Plain, 1, 5)
	req.Tools = tools
	_, err := s.client.Generate(t.Context(), req)
	wantClass(t, err, pipeline.BadItem)
	wantParts(t, err, "does not support tools")
	req.Messages, req.Tools = called, ""
	_, err = s.client.Generate(t.Context(), req)
	wantClass(t, err, pipeline.BadItem)
	wantParts(t, err, "does not support tools")
	s.promptTokens(t, request(s.models.Plain, 1, 5))
}

func (s *suite) options(t *testing.T) {
	temperature, topP, topK := 0.7, 0.9, 40
	req := request(s.models.Endless, 3, 5)
	req.Options.Temperature, req.Options.TopP, req.Options.TopK = &temperature, &topP, &topK
	_, err := s.client.Generate(t.Context(), req)
	wantClass(t, err, pipeline.Truncated)
}

func (s *suite) thinks(t *testing.T) {
	for name, can := range map[string]bool{s.models.Thinks: true, s.models.Stop: false} {
		if info, err := s.client.Describe(t.Context(), name); err != nil || !info.SaysThinks || info.Thinks != can {
			t.Errorf("%s: %+v, want %v (%v)", name, info, can, err)
		}
	}
	for _, c := range []struct {
		think  pipeline.Think
		should bool
	}{{pipeline.ThinkOn, true}, {pipeline.ThinkAuto, true}, {pipeline.ThinkOff, false}, {"", false}} {
		req := request(s.models.Thinks, 5, 500)
		req.Options.Think = c.think
		got, err := s.client.Generate(t.Context(), req)
		if err != nil && !errors.Is(err, pipeline.ErrEmpty) { // it may think to its end
			t.Fatalf("think %q: %v", c.think, err)
		}
		if (got.Reasoning != "") != c.should || (got.Thinking > 0) != c.should || !c.should && got.Text == "" {
			t.Errorf("think %q: %d bytes of thinking, %q before %q", c.think, got.Thinking, got.Reasoning, got.Text)
		}
		if n := got.ThinkingTokens; (n > 0) != c.should || n > got.OutputTokens || n == got.OutputTokens && len(got.Text) > got.Thinking {
			t.Errorf("think %q: %d of %d tokens are thinking, %q before %q", c.think, n, got.OutputTokens, got.Reasoning, got.Text)
		}
	}
}

func (s *suite) cannotThink(t *testing.T) {
	for model, think := range map[string]pipeline.Think{s.models.Stop: pipeline.ThinkOn, s.models.Thinks: pipeline.ThinkLow} {
		req := request(model, 1, 5)
		req.Options.Think = think
		_, err := s.client.Generate(t.Context(), req)
		wantClass(t, err, pipeline.Fatal)
		wantParts(t, err, "think", "mend the options of the run")
	}
	req := request(s.models.Stop, 5, 500) // where nothing is said it answers
	req.Options.Think = pipeline.ThinkAuto
	if _, err := s.client.Generate(t.Context(), req); err != nil {
		t.Error(err)
	}
}

func (s *suite) follows(t *testing.T) {
	for text, format := range map[string]string{
		`^\s*"(red|green)"\s*$`: `{"enum":["red","green"]}`,
		`^\s*\{\s*"answer"\s*:\s*-?[0-9]+\s*,\s*"sure"\s*:\s*(true|false)\s*,\s*"kind"\s*:\s*"(a|b)"\s*\}\s*$`: `{"type":"object","properties":{"answer":{"type":"integer"},"sure":{"type":"boolean"},"kind":{"enum":["a","b"]}},"required":["answer","sure","kind"],"additionalProperties":false}`,
		`^\s*[{\[]`: pipeline.AnyJSON, // which may not end
	} {
		req := request(s.models.Stop, 5, 300)
		req.Options.Schema = json.RawMessage(format)
		got, err := s.client.Generate(t.Context(), req)
		if err != nil && (format != pipeline.AnyJSON || pipeline.ClassOf(err) != pipeline.Truncated) {
			t.Errorf("%s: %v", format, err)
		}
		if !regexp.MustCompile(text).MatchString(got.Text) {
			t.Errorf("%s: the answer is %q", format, got.Text)
		}
	}
}

func (s *suite) badSchema(t *testing.T) {
	req := request(s.models.Stop, 1, 5)
	req.Options.Schema = json.RawMessage(`true`)
	_, err := s.client.Generate(t.Context(), req)
	wantClass(t, err, pipeline.Fatal)
	wantParts(t, err, "invalid format", "--schema")
}

func (s *suite) badOption(t *testing.T) {
	_, err := s.client.Generate(t.Context(), request(s.models.Stop, 1, 0))
	wantClass(t, err, pipeline.Fatal)
	wantParts(t, err, "num_predict 0")
}

func (s *suite) pullFails(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := s.client.Pull(ctx, missing, nil); err == nil {
		t.Errorf("the server has pulled %s", missing)
	}
}
