package ollama_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/ollama"
	"gleaner/internal/pipeline"
)

// thought is a line of a stream with thinking that the server told from the answer.
func thought(text string) string {
	return fmt.Sprintf("{\"message\":{\"role\":\"assistant\",\"content\":\"\",\"thinking\":%q},\"done\":false}\n", text)
}

// idle is a line of a stream that holds nothing.
const idle = `{"message":{"role":"assistant","content":""},"done":false}` + "\n"

// flushed answers with lines that are sent one by one, until the client leaves.
func flushed(lines func(i int) string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for i := 0; r.Context().Err() == nil; i++ {
			_, _ = io.WriteString(w, lines(i))
			_ = http.NewResponseController(w).Flush()
		}
	}
}

func TestThinkingIsNoPartOfAnAnswer(t *testing.T) {
	raw := ask
	raw.Options.Raw = true
	for _, test := range []struct {
		name, body string
		req        pipeline.Request
		text       string
		thinking   int
		class      pipeline.Class // "": it is an answer
		says       string
	}{
		{"between tags", token("<think>") + token("\nhm, 42") + token("\n</think>\n\n") + token("It is 42.") + final("stop"), ask, "It is 42.", 6, "", ""},
		{"before its end", token("hm, 42") + token("\n</think>\n\n") + token("It is 42.") + final("stop"), ask, "It is 42.", 6, "", ""},
		{"told apart by the server", thought("hm") + thought(", 42") + token("It is 42.") + final("stop"), ask, "It is 42.", 6, "", ""},
		{"of another family", token("[THINK]") + token("hm, 42") + token("[/THINK]") + token("It is 42.") + final("stop"), ask, "It is 42.", 6, "", ""},
		{"that is asked for", token("<think>hm</think>") + token("It is 42.") + final("stop"), raw, "<think>hm</think>It is 42.", 0, "", ""},
		{"that an answer speaks about", token("Use <think> for it.") + final("stop"), ask, "Use <think> for it.", 0, "", ""},

		{"without an end", token("<think>") + token("\nhm") + final("stop"), ask, "<think>\nhm", 2, pipeline.Truncated, "it was still thinking"},
		{"cut off", token("<think>") + token("\nhm") + final("length"), ask, "<think>\nhm", 2, pipeline.Truncated, "it was still thinking"},
		{"of the server, cut off", thought("hm") + final("length"), ask, "", 2, pipeline.Truncated, "it was still thinking"},
		{"and half an answer", thought("hm, 42, for sure") + token("It") + final("length"), ask, "It", 16, pipeline.Truncated, "the answer, 88 % of it thinking, was cut off"},
		{"and nothing else", token("<think>\nhm") + token("</think>\n\n") + final("stop"), ask, "", 2, pipeline.Degenerate, "the model thought (2 bytes of thinking) and then said nothing"},
		{"of the server, and nothing else", thought("hm") + final("stop"), ask, "", 2, pipeline.Degenerate, "the model thought"},
		{"that is empty, and nothing else", token("<think>\n\n</think>\n\n") + final("stop"), ask, "", 0, pipeline.Degenerate, "tags for thinking"},
		{"and a tool", `{"message":{"tool_calls":[{"function":{"name":"f","arguments":{}}}]}}` + "\n" + final("stop"), ask, "", 0, pipeline.Degenerate, "called a tool"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := serve(t, ollama.Config{}, status(200, test.body)).Generate(t.Context(), test.req)
			switch {
			case test.class == "" && err != nil, test.class != "" && (err == nil || pipeline.ClassOf(err) != test.class || !strings.Contains(err.Error(), test.says)):
				t.Errorf("class %s, want %q that says %q: %v", pipeline.ClassOf(err), test.class, test.says, err)
			case got.Text != test.text || got.Thinking != test.thinking:
				t.Errorf("the text is %q with %d bytes of thinking, want %q with %d", got.Text, got.Thinking, test.text, test.thinking)
			}
		})
	}
}

func TestAnAnswerWithoutAnEndIsCutOffAndMoreRoomIsNoCure(t *testing.T) {
	words := func(i int) string { return token(fmt.Sprintf("w%d ", i)) }
	for _, test := range []struct {
		name    string
		cfg     ollama.Config
		lines   func(i int) string
		says    string
		tokens  int    // 0: it depends on the clock
		text    string // how it begins
		endless bool
	}{
		{"it goes on behind num_predict", ollama.Config{}, words, "num_predict 100, which this server does not heed", 165, "w0 w1 ", true},
		{"it thinks behind num_predict", ollama.Config{}, func(i int) string { return thought(fmt.Sprintf("w%d ", i)) }, "it was still thinking", 165, "", true},
		{"it holds nothing any more", ollama.Config{}, func(i int) string {
			if i < 3 {
				return words(i)
			}
			return idle
		}, "30 pieces in a row held nothing", 3, "w0 w1 w2 ", true},
		{"it takes too long", ollama.Config{AnswerLimit: time.Nanosecond}, words, "more than 1ns (--answer-limit)", 0, "w0 ", true},
		{"it repeats itself", ollama.Config{}, func(int) string { return token(" the") }, `it repeats itself: "the" came 31 times in a row`, 31, " the the", false},
		{"it repeats white space", ollama.Config{}, func(i int) string { return token([]string{"\n", " \n"}[i%2]) }, `"" came 31 times`, 31, "\n \n", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := serve(t, test.cfg, flushed(test.lines)).Generate(t.Context(), ask)
			want := pipeline.Degenerate
			if test.endless {
				want = pipeline.Truncated
			}
			if pipeline.ClassOf(err) != want || errors.Is(err, pipeline.ErrEndless) != test.endless || !strings.Contains(fmt.Sprint(err), test.says) {
				t.Errorf("class %s, want %s that says %q: %v", pipeline.ClassOf(err), want, test.says, err)
			}
			if !strings.HasPrefix(got.Text, test.text) || test.tokens > 0 && got.OutputTokens != test.tokens {
				t.Errorf("with it came %d tokens, want %d, and %.40q", got.OutputTokens, test.tokens, got.Text)
			}
		})
	}
}

func TestChunksThatHoldNothingDoNotDelayAStall(t *testing.T) {
	client := serve(t, ollama.Config{FirstToken: 100 * time.Millisecond, Stall: 100 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
		for tick := time.NewTicker(20 * time.Millisecond); r.Context().Err() == nil; <-tick.C {
			_, _ = io.WriteString(w, idle)
			_ = http.NewResponseController(w).Flush()
		}
	})
	if _, err := client.Generate(t.Context(), ask); !errors.Is(err, pipeline.ErrStalled) || !strings.Contains(err.Error(), "within 100ms (--first-token)") {
		t.Errorf("class %s: %v", pipeline.ClassOf(err), err)
	}
}

func TestAStallNamesItsFlag(t *testing.T) {
	client := serve(t, ollama.Config{Stall: 50 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, token("a"))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	got, err := client.Generate(t.Context(), ask)
	if !errors.Is(err, pipeline.ErrStalled) || !strings.Contains(err.Error(), "for 50ms (--stall)") || got.Text != "a" {
		t.Errorf("with %q came class %s: %v", got.Text, pipeline.ClassOf(err), err)
	}
}

func TestAWrongCountIsNoReasonToLoseAnAnswer(t *testing.T) {
	for counts, want := range map[string]pipeline.Completion{
		`"prompt_eval_count":12,"eval_count":3`:                     {PromptTokens: 12, OutputTokens: 3},
		`"prompt_eval_count":-12,"eval_count":-3`:                   {OutputTokens: 2},
		`"prompt_eval_count":1e30,"eval_count":99999999999999999`:   {OutputTokens: 2},
		`"prompt_eval_count":1.5,"eval_count":2.5`:                  {OutputTokens: 2},
		`"prompt_eval_count":"12","eval_count":null`:                {OutputTokens: 2},
		`"prompt_eval_count":2000000000,"eval_count":2000000000`:    {OutputTokens: 2},
		`"total_duration":"long","eval_duration":-1,"eval_count":0`: {OutputTokens: 2},
	} {
		body := token("a") + token("b") + fmt.Sprintf(`{"message":{"content":""},"done":true,"done_reason":"stop",%s}`, counts)
		got, err := serve(t, ollama.Config{}, status(200, body)).Generate(t.Context(), ask)
		if err != nil {
			t.Errorf("%s: %v", counts, err)
			continue
		}
		got.Duration = 0
		want.Text, want.Finish = "ab", pipeline.FinishStop
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", counts, d)
		}
	}
}

// Servers count all tokens of an answer as one number, so those of thinking are estimated from what
// they send.
func TestTokensOfThinkingAreToldApart(t *testing.T) {
	thought := func(s string) string { return `{"message":{"thinking":"` + s + `"}}` + "\n" }
	end := `{"message":{"content":""},"done":true,"done_reason":"stop","prompt_eval_count":12,"eval_count":60}`
	call := func(name string) string {
		return `{"message":{"tool_calls":[{"function":{"name":"` + name + `","arguments":{}}}]}}` + "\n"
	}
	tools := toolRequest()
	for name, c := range map[string]struct {
		req  pipeline.Request
		body string
		want int
	}{
		"a chunk for each token, however long": {ask, thought("a long word") + thought(" b") + token("4") + end, 40},
		"in front of a call, by bytes":         {tools, thought("123456789012") + call("1234") + end, 40},
		"both in one chunk, by bytes":          {ask, `{"message":{"thinking":"123","content":"4"}}` + "\n" + end, 45},
		"in the text, by bytes with the tags":  {ask, token("<think>a</think>") + token("12345678") + end, 40},
		"beside the text and in it":            {ask, thought("a") + token("<think>a</think>") + token("12345678") + end, 47},
		"in front of a lone tag":               {ask, token("well</think>") + token("1234") + end, 45},
		"tags with nothing in them":            {ask, token("<think></think>") + token("42") + end, 0},
		"none":                                 {ask, token("4") + token("2") + end, 0},
	} {
		got, err := serve(t, ollama.Config{}, status(200, c.body)).Generate(t.Context(), c.req)
		if err != nil || got.OutputTokens != 60 || got.ThinkingTokens != c.want {
			t.Errorf("%s: %d of %d tokens are thinking, want %d (%v)", name, got.ThinkingTokens, got.OutputTokens, c.want, err)
		}
	}
	cut := strings.Replace(end, "stop", "length", 1)
	if got, err := serve(t, ollama.Config{}, status(200, token("<think>a b")+token(" c")+cut)).Generate(t.Context(), ask); err == nil || got.ThinkingTokens != 60 {
		t.Errorf("of an answer that was cut off in its thinking %d of %d tokens are thinking (%v)", got.ThinkingTokens, got.OutputTokens, err)
	}
}

// One answer without a reason says nothing about a server that gives reasons otherwise, so it must
// not take the GPU from everything else.
func TestAReasonThatIsMissingOnceIsNoLackOfTheServer(t *testing.T) {
	reason := ""
	client := serve(t, ollama.Config{}, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, token("a")+final(reason)) })
	for _, step := range []struct {
		reason string
		class  pipeline.Class
	}{{"", pipeline.Fatal}, {"stop", ""}, {"", pipeline.Retryable}} {
		reason = step.reason
		_, err := client.Generate(t.Context(), ask)
		if (err == nil) != (step.class == "") || err != nil && pipeline.ClassOf(err) != step.class {
			t.Errorf("reason %q: class %s, want %q: %v", step.reason, pipeline.ClassOf(err), step.class, err)
		}
	}
}

func TestARequestThatNoServerAnswersAsItIsMeantIsNotSent(t *testing.T) {
	client := serve(t, ollama.Config{}, func(http.ResponseWriter, *http.Request) { t.Error("it was sent") })
	for want, options := range map[string]pipeline.Options{"num_predict 0": {}, "a stop sequence is empty": {NumPredict: 9, Stop: []string{".", ""}}} {
		req := ask
		req.Options = options
		if _, err := client.Generate(t.Context(), req); pipeline.ClassOf(err) != pipeline.Fatal || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("class %s, want one that says %q: %v", pipeline.ClassOf(err), want, err)
		}
	}
}

func TestBytesThatAreNoCharactersBecomeReplacementCharacters(t *testing.T) {
	line := func(content string) string {
		return `{"message":{"role":"assistant","content":"` + content + `"},"done":false}` + "\n"
	}
	got, err := serve(t, ollama.Config{}, status(200, line(`a\ud83d b`)+line("caf\xe9 ")+line(`\u0000.`)+final("stop"))).Generate(t.Context(), ask)
	if want := "a\uFFFD bcaf\uFFFD \x00."; err != nil || got.Text != want {
		t.Errorf("%q became %q: %v", want, got.Text, err)
	}
}
