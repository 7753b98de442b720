package ollama_test

import (
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"unicode/utf8"

	"gleaner/internal/ollama"
	"gleaner/internal/pipeline"
)

// Whatever a server sends, it becomes an answer that may be stored, or a failure with a class.
func FuzzAnyStreamIsAnAnswerOrAFailure(f *testing.F) {
	for _, seed := range []string{"", token("a") + final("stop"), token("a") + final("length"), final("stop"), token("\xff") + final("stop"),
		says("x") + "\n", token("<think>a") + token("</think>b") + final("stop"), token("a\n</think>\n") + final("stop"),
		calling(`[{"id":"1","function":{"name":"f","arguments":{"a":"\ud800"}}}]`) + final("stop"), calling(`[{"function":{"name":"f","arguments":"{}"}},{}]`) + final("stop"),
		`{"done":true,"done_reason":"stop","message":{"content":"a"},"eval_count":-1,"prompt_eval_count":1e99}`, strings.Repeat(token(" the"), 31), "{}\n[]\nnull\n", `{"message":null,"done":true,"done_reason":"stop"}`} {
		f.Add(200, seed)
		f.Add(500, seed)
	}
	var body atomic.Pointer[string]
	var code atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(int(code.Load()))
		_, _ = w.Write([]byte(*body.Load()))
	}))
	f.Cleanup(server.Close)
	client, err := ollama.New(server.URL, ollama.Config{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(client.Close)
	f.Fuzz(func(t *testing.T, status int, text string) {
		if status < 200 || status > 599 || status == 204 || status == 304 {
			return // not a status of an answer with a body
		}
		body.Store(&text)
		code.Store(int64(status))
		for _, req := range []pipeline.Request{ask, toolRequest(), prefilled("Well")} {
			checkAnswer(t, client, req, status)
		}
	})
}

func checkAnswer(t *testing.T, client *ollama.Client, req pipeline.Request, status int) {
	c, err := client.Generate(t.Context(), req)
	var failure *pipeline.Failure
	switch {
	case err != nil && !errors.As(err, &failure):
		t.Errorf("no failure: %v", err)
	case !utf8.ValidString(c.Text) || len(c.Text) > pipeline.MaxTextBytes || c.PromptTokens < 0 || c.OutputTokens < 0 || c.Thinking < 0 || max(c.PromptTokens, c.OutputTokens) > math.MaxInt32:
		t.Errorf("this cannot be stored: %+v, %v", c, err)
	case c.ThinkingTokens < 0 || c.ThinkingTokens > c.OutputTokens:
		t.Errorf("more tokens of thinking than tokens: %+v", c)
	case err == nil && (c.Finish != "stop" || strings.TrimSpace(c.Text) == "" || !utf8.ValidString(c.Text)):
		t.Errorf("this is no answer: %+v", c)
	case err == nil && status >= 400:
		t.Errorf("status %d was an answer: %+v", status, c)
	case err == nil && pipeline.AnswerMessage(c.Text, req.Tools).ToolCalls != "" && req.Tools == "":
		t.Errorf("it calls tools that it does not have: %+v", c)
	}
}
