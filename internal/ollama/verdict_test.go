package ollama_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/ollama"
	"gleaner/internal/pipeline"
)

// serve returns a client of a server that answers every request with this handler.
func serve(t *testing.T, cfg ollama.Config, handler http.HandlerFunc) *ollama.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return dial(t, server.URL, cfg)
}

func dial(t *testing.T, url string, cfg ollama.Config) *ollama.Client {
	t.Helper()
	client, err := ollama.New(url, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// status answers with a status and a body.
func status(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

func says(text string) string { return fmt.Sprintf(`{"error":%q}`, text) }

// token and final are lines of a stream.
func token(text string) string {
	return fmt.Sprintf("{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":%q},\"done\":false}\n", text)
}

func final(reason string) string {
	return fmt.Sprintf("{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,\"done_reason\":%q,\"prompt_eval_count\":12,\"eval_count\":3}\n", reason)
}

var ask = pipeline.Request{Model: "m", Messages: pipeline.User("why?"), Seed: 7, Options: pipeline.Options{NumPredict: 100}}

func TestWhatOllamaAnswersGetsItsClass(t *testing.T) {
	cut := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, text)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	}
	loop := strings.Repeat(token(" the"), 31)
	for _, test := range []struct {
		name    string
		handler http.HandlerFunc
		class   pipeline.Class
		is      error  // the error that is wrapped
		says    string // a part of the message
	}{
		{"the model is not there", status(404, says("model 'm' not found")), pipeline.Fatal, ollama.ErrNoModel, "ollama pull m"},
		{"it is no Ollama", status(404, "404 page not found"), pipeline.Fatal, nil, "is that the address of an Ollama server?"},
		{"the method is not allowed", status(405, "405 method not allowed"), pipeline.Fatal, nil, "address"},
		{"a sign-in is wanted", status(401, `{"error":"unauthorized","signin_url":"https://x"}`), pipeline.Fatal, nil, "sign-in"},
		{"the cloud is forbidden", status(403, says("remote inference is unavailable")), pipeline.Fatal, nil, "remote inference"},
		{"the model cannot chat", status(400, says(`"m" does not support chat`)), pipeline.Fatal, nil, "does not support chat"},
		{"the model's name is wrong", status(400, says("model is required")), pipeline.Fatal, nil, "model is required"},
		{"the prompt is too long", status(400, says("the input length exceeds the context length")), pipeline.BadItem, nil, "context length"},
		{"the request is bad", status(400, says("unexpected EOF")), pipeline.BadItem, nil, "unexpected EOF"},
		{"the request is too large for a proxy", status(413, ""), pipeline.BadItem, nil, "413"},
		{"the template fails", status(500, says("template: :1:12: executing")), pipeline.BadItem, nil, "template"},
		{"an option has the wrong type", status(500, says(`option "num_predict" must be of type integer`)), pipeline.Fatal, nil, "options of the run"},
		{"the format is wrong", status(500, says(`invalid format: "x"; expected "json" or a valid JSON Schema object`)), pipeline.Fatal, nil, "invalid format"},
		{"the schema is wrong", status(500, says("invalid JSON schema in format")), pipeline.Fatal, nil, "invalid JSON schema"},
		{"the model does not load", status(500, says("llama runner process has terminated: exit status 2")), pipeline.Retryable, nil, "terminated"},
		{"the memory does not suffice", status(500, says("model requires more system memory (9 GiB) than is available (2 GiB)")), pipeline.Retryable, nil, "memory"},
		{"the runner died before the first token", status(500, says("model runner has unexpectedly stopped, this may be due to resource limitations")), pipeline.Retryable, pipeline.ErrRunnerCrashed, "crashed"},
		{"a later version says that the answer repeats itself", status(500, says("prediction aborted, token repeat limit reached")), pipeline.Degenerate, nil, "repeat"},
		{"the model is loading", status(503, says("server busy, please try again.  maximum pending requests exceeded")), pipeline.Retryable, nil, "busy"},
		{"a load was given up", status(499, says("request canceled")), pipeline.Retryable, nil, "canceled"},
		{"a proxy has no server", status(502, "<html>bad gateway"), pipeline.Retryable, nil, "bad gateway"},
		{"an error has no text", status(500, ""), pipeline.Retryable, nil, "500"},

		{"the runner died in the stream", status(200, token("a")+says("an error was encountered while running the model: unexpected EOF")+"\n"), pipeline.Retryable, pipeline.ErrRunnerCrashed, "crashed"},
		{"the connection was cut", cut(token("a") + token("b")), pipeline.Retryable, io.ErrUnexpectedEOF, "EOF"},
		{"the connection was cut within a line", cut(token("a") + `{"model":"m","mess`), pipeline.Retryable, nil, ""},
		{"the connection was cut while it repeated itself", cut(strings.Repeat(token(" the"), 29)), pipeline.Retryable, io.ErrUnexpectedEOF, "EOF"},
		{"the connection was cut before the answer", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, pipeline.Retryable, nil, ""},
		{"the stream ends too early", status(200, token("a")+token("b")), pipeline.Retryable, pipeline.ErrDropped, "ended before the answer after 2 tokens"},
		{"the stream is empty", status(200, ""), pipeline.Retryable, pipeline.ErrDropped, "after 0 tokens"},
		{"the stream is a web page", status(200, "\n <html>welcome</html>\n"), pipeline.Retryable, nil, "a web page"},
		{"the stream is not JSON", status(200, "welcome\n"), pipeline.Retryable, nil, "cannot be read"},
		{"a line has no end", status(200, strings.Repeat(" ", 2<<20)), pipeline.Retryable, nil, "too long"},
		{"the text has no end", status(200, strings.Repeat(token(strings.Repeat("x", 64<<10)), 9)+final("stop")), pipeline.Truncated, pipeline.ErrEndless, "524288 bytes"},
		{"the text is too long in its last line", status(200, strings.Repeat(token(strings.Repeat("x", 64<<10)), 8)+strings.Replace(final("stop"), `"content":""`, `"content":"y"`, 1)), pipeline.Truncated, pipeline.ErrEndless, "524288 bytes"},

		{"the answer was cut off", status(200, token("a")+final("length")), pipeline.Truncated, nil, "--num-predict 100"},
		{"the answer was cut off before its first token", status(200, final("length")), pipeline.Truncated, nil, ""},
		{"the answer was ended for another reason", status(200, token("a")+final("bored")), pipeline.Retryable, nil, `"bored"`},
		{"the model was loaded instead", status(200, final("load")), pipeline.Retryable, nil, "the load of its model"},
		{"the model was unloaded instead", status(200, final("unload")), pipeline.Retryable, nil, "the unload of its model"},
		{"the answer was ended without a reason", status(200, token("a")+final("")), pipeline.Fatal, nil, "too old, or not Ollama: the answer's end has no reason"},
		{"the answer is empty", status(200, final("stop")), pipeline.Degenerate, pipeline.ErrEmpty, "empty"},
		{"the answer is white", status(200, token(" \n")+token("\t")+final("stop")), pipeline.Degenerate, pipeline.ErrEmpty, "empty"},
		{"the model only thinks", status(200, `{"message":{"thinking":"hm"}}`+"\n"+final("stop")), pipeline.Degenerate, pipeline.ErrEmpty, "thought"},
		{"the answer repeats itself", status(200, token("well")+loop), pipeline.Degenerate, pipeline.ErrRepeats, `"the" came 31 times`},
		{"the answer repeats white space", status(200, strings.Repeat(token("\n"), 30)), pipeline.Degenerate, pipeline.ErrRepeats, "the server ended it"},
		{"the answer ends while it happens to repeat itself a little", status(200, strings.Repeat(token("ha"), 20)), pipeline.Retryable, io.ErrUnexpectedEOF, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := serve(t, ollama.Config{}, test.handler).Generate(t.Context(), ask)
			if err == nil {
				t.Fatalf("there was no error but %+v", c)
			}
			var f *pipeline.Failure
			switch {
			case !errors.As(err, &f) || f.Class != test.class:
				t.Errorf("class %s, want %s: %v", pipeline.ClassOf(err), test.class, err)
			case test.is != nil && !errors.Is(err, test.is):
				t.Errorf("it does not wrap %v: %v", test.is, err)
			case !errors.Is(test.is, pipeline.ErrEndless) && errors.Is(err, pipeline.ErrEndless):
				t.Errorf("it claims that more room is no cure: %v", err)
			case !errors.Is(test.is, pipeline.ErrRunnerCrashed) && errors.Is(err, pipeline.ErrRunnerCrashed):
				t.Errorf("it claims that the runner crashed: %v", err)
			case !strings.Contains(err.Error(), test.says):
				t.Errorf("it does not say %q: %v", test.says, err)
			}
			if !utf8.ValidString(c.Text) || len(c.Text) > pipeline.MaxTextBytes {
				t.Errorf("the failure comes with a text of %d bytes that cannot be kept", len(c.Text))
			}
		})
	}
}

func TestACompleteAnswerCountsAsItCame(t *testing.T) {
	body := token(" Hello,") + "\n" + token(" wor\xffld\n") + token(`<&>"`) + final("stop")
	body = strings.ReplaceAll(body, `\xff`, "\xff") // as a server would send an invalid byte
	client := serve(t, ollama.Config{}, status(200, body))
	got, err := client.Generate(t.Context(), ask)
	if err != nil {
		t.Fatal(err)
	}
	if got.Duration <= 0 {
		t.Errorf("it took %v", got.Duration)
	}
	got.Duration = 0
	want := pipeline.Completion{Text: " Hello, wor\uFFFDld\n<&>\"", Finish: "stop", PromptTokens: 12, OutputTokens: 3}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestARequestAsksForWhatIsWantedAndNothingThatReloadsTheModel(t *testing.T) {
	var path, body string
	client := serve(t, ollama.Config{}, func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		path, body = r.Method+" "+r.URL.Path, strings.TrimSpace(string(data))
		_, _ = io.WriteString(w, token("a")+final("stop"))
	})
	temperature, topP, topK := 0.5, 0.9, 40
	req := pipeline.Request{Model: "m", Messages: []pipeline.Message{{Role: pipeline.RoleSystem, Content: "be <brief>"}, {Role: pipeline.RoleUser, Content: "why?"}}, Seed: 7,
		Options: pipeline.Options{NumPredict: 9, Temperature: &temperature, TopP: &topP, TopK: &topK, Stop: []string{"\n"}}}
	if _, err := client.Generate(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	if path != "POST /api/chat" {
		t.Errorf("it asked %s", path)
	}
	want := `{"model":"m","messages":[{"role":"system","content":"be <brief>"},{"role":"user","content":"why?"}],"stream":true,` +
		`"options":{"num_predict":9,"seed":7,"stop":["\n"],"temperature":0.5,"top_k":40,"top_p":0.9},"think":false,"truncate":false,"shift":false}`
	if d := cmp.Diff(want, body); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// What belongs to the process that runs a model has to be the same in both, else the model is
// loaded twice.
func TestTheWarmUpLoadsWhatTheChatUses(t *testing.T) {
	asked := map[string]map[string]any{}
	client := serve(t, ollama.Config{}, func(w http.ResponseWriter, r *http.Request) {
		var body map[string]any
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		asked[r.URL.Path] = body
		_, _ = io.WriteString(w, map[string]string{"/api/chat": token("a") + final("stop"), "/api/generate": `{"done":true,"done_reason":"load"}`}[r.URL.Path])
	})
	if err := client.WarmUp(t.Context(), "m"); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Generate(t.Context(), ask); err != nil {
		t.Fatal(err)
	}
	load, chat := asked["/api/generate"], asked["/api/chat"]
	for _, name := range []string{"model", "shift", "keep_alive"} {
		if d := cmp.Diff(load[name], chat[name]); d != "" {
			t.Errorf("%s (-warm-up +chat):\n%s", name, d)
		}
	}
	if load["shift"] != false {
		t.Errorf("the warm-up asks for shift %v", load["shift"])
	}
	for _, option := range []string{"num_ctx", "num_batch", "num_thread", "num_gpu", "main_gpu", "use_mmap"} {
		for what, body := range asked {
			if options, _ := body["options"].(map[string]any); options[option] != nil {
				t.Errorf("%s asks for %s", what, option)
			}
		}
	}
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	connections := map[string]bool{}
	client := serve(t, ollama.Config{}, func(w http.ResponseWriter, r *http.Request) {
		connections[r.RemoteAddr] = true
		_, _ = io.WriteString(w, token("a"))
		_ = http.NewResponseController(w).Flush()
		_, _ = io.WriteString(w, final("stop"))
	})
	for range 20 {
		if _, err := client.Generate(t.Context(), ask); err != nil {
			t.Fatal(err)
		}
	}
	if len(connections) != 1 {
		t.Errorf("twenty requests one after the other took %d connections", len(connections))
	}
}

func TestAStreamThatDoesNotEndAfterItsLastChunkHoldsNothingUp(t *testing.T) {
	client := serve(t, ollama.Config{Stall: time.Hour}, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, token("a")+final("stop"))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	if _, err := client.Generate(t.Context(), ask); err != nil {
		t.Fatal(err)
	}
}

func TestNoServerIsRetryableAndTheErrorSaysWhatToLookAt(t *testing.T) {
	server := httptest.NewServer(nil)
	server.Close() // now nothing listens there
	client := dial(t, server.URL, ollama.Config{})
	for what, call := range map[string]func() error{
		"generate": func() error { _, err := client.Generate(t.Context(), ask); return err },
		"ping":     func() error { return client.Ping(t.Context()) },
		"models":   func() error { _, err := client.Models(t.Context()); return err },
		"describe": func() error { _, err := client.Describe(t.Context(), "m"); return err },
		"warm up":  func() error { return client.WarmUp(t.Context(), "m") },
		"pull":     func() error { return client.Pull(t.Context(), "m", nil) },
	} {
		err := call()
		if pipeline.ClassOf(err) != pipeline.Retryable || !strings.Contains(fmt.Sprint(err), server.URL) || !strings.Contains(fmt.Sprint(err), "is `ollama serve` running there?") {
			t.Errorf("%s: class %s: %v", what, pipeline.ClassOf(err), err)
		}
	}
}
