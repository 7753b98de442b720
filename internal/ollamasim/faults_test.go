package ollamasim_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/ollamasim"
	"gleaner/internal/ollamasim/simtest"
)

func TestFaultsStrikeWhomTheyShouldAsOftenAsTheyShould(t *testing.T) {
	s, url := simtest.Start(t, ollamasim.Config{Instant: true})
	status := func(prompt string) int {
		code, _ := ask(t, "POST", url+"/api/generate", `{"model":"simulated/sim","prompt":"`+prompt+`","options":{"seed":1}}`)
		return code
	}
	s.Inject(ollamasim.Fault{Kind: ollamasim.Busy, Count: 2, Match: ollamasim.Prompts("unlucky")})
	s.Inject(ollamasim.Fault{Kind: ollamasim.Fail, Count: 1})
	got := []int{status("lucky"), status("unlucky"), status("lucky"), status("unlucky"), status("unlucky")}
	if d := cmp.Diff([]int{500, 503, 200, 503, 200}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	s.Inject(ollamasim.Fault{Kind: ollamasim.Fail})
	if code := status("x"); code != 500 {
		t.Errorf("with a fault without bounds: %d", code)
	}
	s.ClearFaults()
	if code := status("x"); code != 200 {
		t.Errorf("after the faults were cleared: %d", code)
	}
	if st := s.Stats(); st.Requests != 7 || st.Faulty != 4 || st.Answers != 3 || st.Tokens < st.Answers {
		t.Errorf("the server counted %+v", st)
	}
}

// Each kind as a client sees it: the status, and what the lines of the answer say together.
func TestEachFaultIsWhatItSays(t *testing.T) {
	const all = `"model":"simulated/sim","messages":[{"role":"user","content":"Why 3 apples?"}],"options":{"seed":7,"num_predict":40}`
	for _, test := range []struct {
		name   string
		fault  ollamasim.Fault
		status int
		right  func(text, thinking string, last line) bool
	}{
		{"none", ollamasim.Fault{}, 200, func(text, _ string, end line) bool { return text != "" && end.Reason == "stop" && end.Eval > 1 }},
		{"limit", ollamasim.Fault{Kind: ollamasim.Limit, Wait: 1500 * time.Millisecond}, 429, func(_, _ string, end line) bool { return end.RetryAfter == "2" }},
		{"busy", ollamasim.Fault{Kind: ollamasim.Busy}, 503, func(_, _ string, end line) bool { return end.RetryAfter == "" }},
		{"deny", ollamasim.Fault{Kind: ollamasim.Deny}, 401, func(_, _ string, end line) bool { return strings.Contains(end.body, "<title>401 ") }},
		{"gateway", ollamasim.Fault{Kind: ollamasim.Gateway}, 502, func(_, _ string, end line) bool { return strings.Contains(end.body, "<title>502 ") }},
		{"page", ollamasim.Fault{Kind: ollamasim.Page}, 200, func(_, _ string, end line) bool { return strings.HasPrefix(end.body, "<html>") }},
		{"redirect", ollamasim.Fault{Kind: ollamasim.Redirect, Text: "https://elsewhere.example"}, 301, func(_, _ string, end line) bool {
			return end.Location == "https://elsewhere.example/api/chat"
		}},
		{"unfinished", ollamasim.Fault{Kind: ollamasim.Unfinished, After: 2}, 200, func(text, _ string, end line) bool { return text != "" && !end.Done }},
		{"loop", ollamasim.Fault{Kind: ollamasim.Loop, Text: "GGGG"}, 200, func(text, _ string, end line) bool {
			return text == strings.Repeat("GGGG", 31) && !end.Done
		}},
		{"repeat", ollamasim.Fault{Kind: ollamasim.Repeat}, 200, func(text, _ string, end line) bool {
			return text == strings.Repeat(" the", 40) && end.Reason == "length"
		}},
		{"short", ollamasim.Fault{Kind: ollamasim.Short, After: 3}, 200, func(text, _ string, end line) bool {
			return text != "" && end.Reason == "length" && end.Eval == 3
		}},
		{"empty", ollamasim.Fault{Kind: ollamasim.Empty}, 200, func(text, _ string, end line) bool { return text == "" && end.Reason == "stop" }},
		{"say", ollamasim.Fault{Kind: ollamasim.Say, Text: "<think> well </think> 42"}, 200, func(text, _ string, end line) bool {
			return text == "<think> well </think> 42" && end.Reason == "stop"
		}},
		{"call", ollamasim.Fault{Kind: ollamasim.Call, After: 2, Text: "weather"}, 200, func(text, _ string, end line) bool {
			return text != "" && end.Reason == "stop" && end.Eval == 3
		}},
		{"think", ollamasim.Fault{Kind: ollamasim.Think, After: 2}, 200, func(text, thinking string, end line) bool {
			return text != "" && thinking != "" && end.Reason == "stop"
		}},
		{"slow", ollamasim.Fault{Kind: ollamasim.Slow, Wait: 20 * time.Millisecond}, 200, func(text, _ string, end line) bool {
			return text != "" && end.Reason == "stop" && end.took >= 20*time.Millisecond
		}},
		{"no reason", ollamasim.Fault{Kind: ollamasim.Reason}, 200, func(text, _ string, end line) bool { return text != "" && end.Done && end.Reason == "" }},
		{"unload", ollamasim.Fault{Kind: ollamasim.Reason, Text: "unload"}, 200, func(text, _ string, end line) bool { return end.Done && end.Reason == "unload" }},
		{"negative", ollamasim.Fault{Kind: ollamasim.Negative}, 200, func(_, _ string, end line) bool { return end.Eval < 0 && end.PromptEval < 0 }},
		{"cut prompt", ollamasim.Fault{Kind: ollamasim.CutPrompt, After: 4}, 200, func(text, _ string, end line) bool {
			return text != "" && end.Reason == "stop" && end.PromptEval == 4
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, url := simtest.Start(t, ollamasim.Config{Instant: true, Lengths: func(string, int) int { return 20 }})
			if test.fault.Kind != "" {
				s.Inject(test.fault)
			}
			for _, body := range []string{"{" + all + "}", "{" + all + `,"stream":false}`} {
				status, text, thinking, last := talk(t, url+"/api/chat", body)
				if status != test.status || !test.right(text, thinking, last) {
					t.Errorf("%s: %d, text %q, thinking %q, last %+v", body, status, text, thinking, last)
				}
			}
		})
	}
}

// A line is the last line of an answer, and what else came with it.
type line struct {
	Done       bool   `json:"done"`
	Reason     string `json:"done_reason"`
	Eval       int    `json:"eval_count"`
	PromptEval int    `json:"prompt_eval_count"`

	RetryAfter, Location, body string
	took                       time.Duration
}

// talk sends a request, follows no redirect, and returns what all lines of the answer say.
func talk(t *testing.T, url, body string) (status int, text, thinking string, last line) {
	t.Helper()
	began := time.Now()
	req, err := http.NewRequestWithContext(t.Context(), "POST", url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(data)) {
		var chunk struct {
			Message struct{ Content, Thinking string }
		}
		last = line{}
		if json.Unmarshal([]byte(l), &chunk) == nil && json.Unmarshal([]byte(l), &last) == nil {
			text, thinking = text+chunk.Message.Content, thinking+chunk.Message.Thinking
		}
	}
	last.RetryAfter, last.Location, last.body, last.took = resp.Header.Get("Retry-After"), resp.Header.Get("Location"), string(data), time.Since(began)
	return resp.StatusCode, text, thinking, last
}

// Answers that never end are read until the client has had enough.
func TestEndlessAnswersGoOnWhateverTheLimit(t *testing.T) {
	for _, test := range []struct {
		fault ollamasim.Fault
		said  bool // each chunk has text
	}{{ollamasim.Fault{Kind: ollamasim.Endless}, true}, {ollamasim.Fault{Kind: ollamasim.Silent, After: 2}, false}} {
		s, url := simtest.Start(t, ollamasim.Config{Instant: true})
		s.Inject(test.fault)
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, "POST", url+"/api/generate", strings.NewReader(`{"model":"simulated/sim","prompt":"x","options":{"num_predict":10}}`))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		lines, chunks := bufio.NewScanner(resp.Body), 0
		for chunks < 1000 && lines.Scan() {
			if chunks++; chunks > 2 && strings.Contains(lines.Text(), `"response":""`) == test.said {
				t.Fatalf("%s: chunk %d is %s", test.fault.Kind, chunks, lines.Text())
			}
		}
		if chunks < 1000 {
			t.Errorf("%s: it ended after %d chunks", test.fault.Kind, chunks)
		}
		cancel()
		resp.Body.Close()
		http.DefaultClient.CloseIdleConnections()
	}
}

func TestAFaultCanBeginLaterAndCanBeEverywhere(t *testing.T) {
	var mu sync.Mutex
	var seen []ollamasim.Exchange
	s, url := simtest.Start(t, ollamasim.Config{Instant: true, Version: "0.9.1", Watch: func(x ollamasim.Exchange) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, x)
	}})
	s.Inject(ollamasim.Fault{Kind: ollamasim.Empty, Match: ollamasim.Prompts("x"), Skip: 2})
	for _, prompt := range []string{"x", "y", "x", "x"} {
		ask(t, "POST", url+"/api/generate", `{"model":"simulated/sim","prompt":"`+prompt+`","options":{"seed":1}}`)
	}
	mu.Lock()
	if d := cmp.Diff([]ollamasim.Exchange{
		{Prompt: "x", Done: true, Reason: "stop"}, {Prompt: "y", Done: true, Reason: "stop"}, {Prompt: "x", Done: true, Reason: "stop"},
		{Prompt: "x", Done: true, Reason: "stop", Fault: ollamasim.Empty},
	}, seen); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	mu.Unlock()
	s.ClearFaults()
	if _, body := ask(t, "GET", url+"/api/version", ""); !strings.Contains(body, "0.9.1") {
		t.Errorf("the version: %s", body)
	}
	s.Inject(ollamasim.Fault{Kind: ollamasim.Gateway, Everywhere: true})
	for _, call := range []string{"GET /api/version", "POST /api/chat", "GET /api/ps"} {
		method, path, _ := strings.Cut(call, " ")
		if status, _ := ask(t, method, url+path, "{}"); status != 502 {
			t.Errorf("%s: %d, want 502", call, status)
		}
	}
}

// So do servers since 0.30: a warm-up that asks for less than the chat loads a model for nothing.
func TestAModelIsLoadedAgainWhenItsLaunchAttributesDiffer(t *testing.T) {
	s, url := simtest.Start(t, ollamasim.Config{Instant: true, ReloadOnShift: true, Context: 512})
	for _, step := range []struct {
		body  string
		loads int
	}{
		{`{"model":"simulated/sim"}`, 1},
		{`{"model":"simulated/sim","prompt":"x","shift":false}`, 2}, // the load above was for nothing
		{`{"model":"simulated/sim","prompt":"x","shift":false}`, 2},
		{`{"model":"simulated/sim","shift":false}`, 2},
		{`{"model":"simulated/sim","prompt":"x"}`, 3},
	} {
		ask(t, "POST", url+"/api/generate", step.body)
		if got := s.Stats().Loads; got != step.loads {
			t.Fatalf("after %s: %d loads, want %d", step.body, got, step.loads)
		}
	}
	s.Change(func(c *ollamasim.Config) { c.ReloadOnShift, c.Context = false, 8 })
	if status, body := ask(t, "POST", url+"/api/generate", `{"model":"simulated/sim","prompt":"one two three four","shift":false,"truncate":false}`); status != 400 || s.Stats().Loads != 3 {
		t.Errorf("with a context of 8: %d %s, %d loads", status, body, s.Stats().Loads)
	}
}

// A request on the model that goes is answered first, and what needs the other one waits for it.
func TestAReloadWaitsForTheRequestsOnTheModel(t *testing.T) {
	s, url := simtest.Start(t, ollamasim.Config{Speed: 50, ReloadOnShift: true, Models: []string{"sim-endless"}})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	post := func(ctx context.Context, body string) {
		req, err := http.NewRequestWithContext(ctx, "POST", url+"/api/generate", strings.NewReader(body))
		if err == nil {
			var resp *http.Response
			if resp, err = http.DefaultClient.Do(req); err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		}
		ended <- err
	}
	go post(ctx, `{"model":"simulated/sim-endless","prompt":"x","shift":false}`)
	for busy := 0; busy == 0; busy, _ = s.GPU().Load() {
		time.Sleep(time.Millisecond)
	}
	go post(t.Context(), `{"model":"simulated/sim-endless","prompt":"x","options":{"num_predict":1}}`)
	for s.Stats().Requests < 2 {
		time.Sleep(time.Millisecond)
	}
	if n := s.Stats().Loads; n != 1 {
		t.Errorf("%d loads while the first is answered, want 1", n)
	}
	cancel()
	first, second := <-ended, <-ended
	if (first == nil) == (second == nil) || s.Stats().Loads != 2 {
		t.Errorf("they ended with %v and %v after %d loads, want one answer and two loads", first, second, s.Stats().Loads)
	}
	http.DefaultClient.CloseIdleConnections()
}
