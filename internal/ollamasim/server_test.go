package ollamasim_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ollama/ollama/api"

	"gleaner/internal/ollamasim"
	"gleaner/internal/ollamasim/simtest"
)

// ask sends a request and returns the status and the body.
func ask(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return resp.StatusCode, string(data)
}

// The bodies and statuses are those that Ollama 0.17.4 gave to the same requests.
func TestItAnswersWordForWordWhatOllamaAnswers(t *testing.T) {
	_, url := simtest.Start(t, ollamasim.Config{Instant: true, Context: 512, Models: []string{"tiny"}})
	for _, test := range []struct {
		call, body string
		status     int
		want       string
	}{
		{"GET /", "", 200, "Ollama is running"},
		{"HEAD /", "", 200, ""},
		{"GET /api/version", "", 200, `{"version":"0.17.4","simulated":true}`},
		{"HEAD /api/tags", "", 200, ""},
		{"DELETE /api/tags", "", 405, "405 method not allowed"},
		{"GET /foo", "", 404, "404 page not found"},
		{"POST /api/chat", "", 400, `{"error":"missing request body"}`},
		{"POST /api/chat", `{"model":""}`, 400, `{"error":"model is required"}`},
		{"POST /api/chat", `{"model":"nope","messages":[]}`, 404, `{"error":"model 'nope' not found"}`},
		{"POST /api/generate", `{"model":"nope"}`, 404, `{"error":"model 'nope' not found"}`},
		{"POST /api/show", `{"model":"nope"}`, 404, `{"error":"model 'nope' not found"}`},
		{"POST /api/show", `{}`, 400, `{"error":"model is required"}`},
		{"POST /api/pull", `{"model":"a b/"}`, 400, `{"error":"invalid model name"}`},
		{"POST /api/chat", `{"model":"simulated/tiny","messages":[{"role":"user","content":"x"}],"options":{"num_predict":"x"}}`, 500, `{"error":"option \"num_predict\" must be of type integer"}`},
		{"POST /api/chat", `{"model":"simulated/tiny","messages":[{"role":"user","content":"x"}],"options":{"temperature":"x"}}`, 500, `{"error":"option \"temperature\" must be of type float32"}`},
		{"POST /api/chat", `{"model":"simulated/tiny","messages":[{"role":"user","content":"x"}],"think":true}`, 400, `{"error":"\"simulated/tiny\" does not support thinking"}`},
		{"POST /api/chat", `{"model":"simulated/tiny","truncate":false,"messages":[{"role":"user","content":"` + strings.Repeat("word ", 600) + `"}]}`, 400, `{"error":"the input length exceeds the context length"}`},
	} {
		method, path, _ := strings.Cut(test.call, " ")
		status, got := ask(t, method, url+path, test.body)
		got = strings.ReplaceAll(got, `\u0026`, "&")
		if status != test.status || got != test.want {
			t.Errorf("%s %s: %d %s, want %d %s", test.call, test.body, status, got, test.status, test.want)
		}
	}
}

// Whatever it is asked by the name of a real model, it has no such model, also after it pulled it.
func TestNothingSimulatedAnswersForTheNameOfARealModel(t *testing.T) {
	s, url := simtest.Start(t, ollamasim.Config{Instant: true, Models: []string{"mistral", "simulated/own"}})
	if status, body := ask(t, "POST", url+"/api/pull", `{"model":"llama3:8b","stream":false}`); status != 200 {
		t.Fatalf("pull: %d %s", status, body)
	}
	for _, name := range []string{"mistral", "mistral:latest", "own", "llama3:8b"} {
		for _, call := range []string{"show", "generate", "chat"} {
			body := `{"model":"` + name + `","prompt":"x","messages":[{"role":"user","content":"x"}]}`
			if status, said := ask(t, "POST", url+"/api/"+call, body); status != 404 {
				t.Errorf("%s %s: %d %s", call, name, status, said)
			}
			if status, said := ask(t, "POST", url+"/api/"+call, strings.Replace(body, name, "simulated/"+name, 1)); status != 200 {
				t.Errorf("%s simulated/%s: %d %s", call, name, status, said)
			}
		}
	}
	for _, path := range []string{"/api/tags", "/api/ps"} {
		_, body := ask(t, "GET", url+path, "")
		var list struct {
			Models []struct{ Name, Model string }
		}
		if err := json.Unmarshal([]byte(body), &list); err != nil || len(list.Models) != 3 {
			t.Fatalf("%s: %s (%v)", path, body, err)
		}
		for _, m := range list.Models {
			if !strings.HasPrefix(m.Name, "simulated/") || m.Model != m.Name {
				t.Errorf("%s lists %s, %s", path, m.Name, m.Model)
			}
		}
	}
	for _, call := range []string{"GET /api/version", "POST /api/show"} {
		method, path, _ := strings.Cut(call, " ")
		if _, body := ask(t, method, url+path, `{"model":"simulated/mistral"}`); !strings.Contains(body, `"simulated":true`) {
			t.Errorf("%s does not say that it is simulated: %s", call, body)
		}
	}
	s.SetDigest("mistral", "another")
	if _, body := ask(t, "GET", url+"/api/tags", ""); !strings.Contains(body, `"digest":"another"`) {
		t.Errorf("the model keeps its digest: %s", body)
	}
}

// answerOf joins the lines of a stream of either call, and returns the last one.
func answerOf(t *testing.T, body string) (text string, last api.ChatResponse) {
	t.Helper()
	for line := range strings.Lines(body) {
		var chat api.ChatResponse
		var generated api.GenerateResponse
		if err := json.Unmarshal([]byte(line), &chat); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if err := json.Unmarshal([]byte(line), &generated); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		text += chat.Message.Content + generated.Response
		last = chat
	}
	return text, last
}

func TestStreamsAndWholeAnswersOfBothCallsAreTheSame(t *testing.T) {
	_, url := simtest.Start(t, ollamasim.Config{Speed: 200})
	const rest = `"model":"simulated/sim","options":{"seed":7,"num_predict":400}`
	texts := map[string]bool{}
	for _, call := range []string{
		`/api/chat {` + rest + `,"messages":[{"role":"user","content":"Why 3 apples?"}]}`,
		`/api/chat {` + rest + `,"messages":[{"role":"user","content":"Why 3 apples?"}],"stream":false}`,
		`/api/generate {` + rest + `,"prompt":"Why 3 apples?"}`,
		`/api/generate {` + rest + `,"prompt":"Why 3 apples?","stream":false}`,
	} {
		path, body, _ := strings.Cut(call, " ")
		status, answer := ask(t, "POST", url+path, body)
		text, last := answerOf(t, answer)
		if status != 200 || !last.Done || last.DoneReason != "stop" || last.EvalCount < 2 || last.PromptEvalCount < 5 {
			t.Errorf("%s: status %d, %+v", call, status, last)
		}
		texts[text] = true
	}
	if len(texts) != 1 {
		t.Errorf("the texts differ: %v", texts)
	}
}

func TestStopSequencesAndLengthsCutTheAnswerWhereOllamaDoes(t *testing.T) {
	_, url := simtest.Start(t, ollamasim.Config{Instant: true, Context: 200})
	generate := func(options string) (string, api.ChatResponse) {
		_, answer := ask(t, "POST", url+"/api/generate", `{"model":"simulated/sim","prompt":"Why 3 apples?","shift":false,"options":{"seed":7`+options+`}}`)
		return answerOf(t, answer)
	}
	whole, end := generate("")
	for n := 1; n < end.EvalCount; n++ {
		text, last := generate(`,"num_predict":` + string(must(json.Marshal(n))))
		if last.DoneReason != "length" || last.EvalCount != n || !strings.HasPrefix(whole, text) || text == "" {
			t.Fatalf("num_predict %d: %d tokens, reason %s, %q", n, last.EvalCount, last.DoneReason, text)
		}
	}
	if text, last := generate(`,"num_predict":` + string(must(json.Marshal(end.EvalCount)))); last.DoneReason != "stop" || text != whole {
		t.Errorf("with just enough tokens: reason %s, %q", last.DoneReason, text)
	}
	for i := range len(whole) - 2 {
		stop := whole[i : i+3]
		text, last := generate(`,"stop":["not there",` + string(must(json.Marshal(stop))) + `]`)
		want, _, _ := strings.Cut(whole, stop)
		if text != want || last.DoneReason != "stop" || last.EvalCount > end.EvalCount {
			t.Fatalf("stop %q: %d tokens, %q, want %q", stop, last.EvalCount, text, want)
		}
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

func TestAModelLoadsOnceAndIsListedUntilItIsUnloaded(t *testing.T) {
	_, url := simtest.Start(t, ollamasim.Config{Instant: true, Load: 20 * time.Millisecond, Context: 1024, Slots: 4})
	loaded := func() []api.ProcessModelResponse {
		_, body := ask(t, "GET", url+"/api/ps", "")
		var list api.ProcessResponse
		if err := json.Unmarshal([]byte(body), &list); err != nil {
			t.Fatal(err)
		}
		return list.Models
	}
	if l := loaded(); len(l) != 0 {
		t.Fatalf("loaded from the beginning: %+v", l)
	}
	begin := time.Now()
	if _, body := ask(t, "POST", url+"/api/generate", `{"model":"simulated/sim"}`); !strings.Contains(body, `"done_reason":"load"`) || time.Since(begin) < 20*time.Millisecond {
		t.Errorf("after %v: %s", time.Since(begin), body)
	}
	l := loaded()
	if len(l) != 1 || l[0].Name != ollamasim.DefaultModel || l[0].Size != l[0].SizeVRAM || l[0].ContextLength != 1024 || len(l[0].Digest) != 64 {
		t.Errorf("loaded: %+v", l)
	}
	if _, body := ask(t, "POST", url+"/api/generate", `{"model":"simulated/sim","keep_alive":0}`); !strings.Contains(body, `"done_reason":"unload"`) {
		t.Errorf("unload: %s", body)
	}
	if l := loaded(); len(l) != 0 {
		t.Errorf("loaded after it was unloaded: %+v", l)
	}
}

func TestAChunkHoldsWhatWasMadeInItsInterval(t *testing.T) {
	_, url := simtest.Start(t, ollamasim.Config{TokensPerSecond: func(int) float64 { return 2000 }, ChunkEvery: 10 * time.Millisecond, Lengths: func(string, int) int { return 200 }})
	_, body := ask(t, "POST", url+"/api/generate", `{"model":"simulated/sim","prompt":"x"}`)
	if chunks := bytes.Count([]byte(body), []byte("\n")); chunks != 200/20+1 {
		t.Errorf("200 tokens of which 20 share a chunk came in %d lines:\n%s", chunks, body)
	}
}

func TestAServerStartsOnceAndClosesMoreThanOnce(t *testing.T) {
	s, url := simtest.Start(t, ollamasim.Config{})
	if _, err := s.Start("127.0.0.1:0"); err == nil {
		t.Error("it started twice")
	}
	if _, err := ollamasim.New(ollamasim.Config{}).Start(strings.TrimPrefix(url, "http://")); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("two servers on one address: %v", err)
	}
	s.Close()
	s.Close()
	if _, err := s.Start("127.0.0.1:0"); err == nil {
		t.Error("it started after it was closed")
	}
}

func TestClosingEndsWhatIsBeingAnswered(t *testing.T) {
	s, url := simtest.Start(t, ollamasim.Config{Slots: 1, Models: []string{"sim-endless"}})
	const requests = 3 // one has the slot, two wait for it
	ended := make(chan error, requests)
	for range requests {
		go func() {
			resp, err := http.Post(url+"/api/generate", "application/json", strings.NewReader(`{"model":"simulated/sim-endless","prompt":"x"}`))
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			ended <- err
		}()
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for busy, waiting := 0, 0; busy+waiting < requests; busy, waiting = s.GPU().Load() {
		<-tick.C
	}
	s.Close()
	for range requests {
		if err := <-ended; err == nil {
			t.Error("an answer ended as if it were complete")
		}
	}
}
