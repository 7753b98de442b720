package export

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"gleaner/internal/pipeline"
)

func TestEachLayoutKeepsTheColumnsOfTheRow(t *testing.T) {
	row := `{"id": 9007199254740993, "score": 1.50, "tags": [ ], "q": "x"}`
	kept := row[1 : len(row)-1]
	for _, c := range []struct {
		layout, system, want string
	}{
		{LayoutRows, "", `{` + kept + `, "response": "It is <b>é</b>."}`},
		{LayoutChat, "", `{"messages": [{"role":"user","content":"why?"},{"role":"assistant","content":"It is <b>é</b>."}], ` + kept + `}`},
		{LayoutChat, "S", `{"messages": [{"role":"system","content":"S"},{"role":"user","content":"why?"},{"role":"assistant","content":"It is <b>é</b>."}], ` + kept + `}`},
		{LayoutShareGPT, "S", `{"conversations": [{"from":"system","value":"S"},{"from":"human","value":"why?"},{"from":"gpt","value":"It is <b>é</b>."}], ` + kept + `}`},
		{LayoutAlpaca, "", `{"instruction": "why?", "input": "", "output": "It is <b>é</b>.", ` + kept + `}`},
		{LayoutAlpaca, "S", `{"instruction": "why?", "input": "", "output": "It is <b>é</b>.", "system": "S", ` + kept + `}`},
		{LayoutPromptCompletion, "", `{"prompt": "why?", "completion": "It is <b>é</b>.", ` + kept + `}`},
		{LayoutPromptCompletion, "S", `{"prompt": [{"role":"system","content":"S"},{"role":"user","content":"why?"}], "completion": [{"role":"assistant","content":"It is <b>é</b>."}], ` + kept + `}`},
		{LayoutOpenAIBatch, "", `{"id_2": 9007199254740993, "score": 1.50, "tags": [ ], "q": "x"`},
	} {
		run := testRun()
		run.Spec.System = c.system
		got := line(t, run, Config{Layout: c.layout, Provenance: ProvenanceNone}, asked{c.system, "why?"}, answered([]string{row}, "It is <b>é</b>.")[0])
		if c.layout == LayoutOpenAIBatch {
			if !json.Valid([]byte(got)) || !strings.HasSuffix(got, c.want[1:]+"}") {
				t.Errorf("%s: %s", c.layout, got)
			}
			continue
		}
		if got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.layout, got, c.want)
		}
	}
}

func TestAnAlpacaRowKeepsItsInstructionAndInput(t *testing.T) {
	row := `{"instruction": "Sort.", "input": "b a", "output": "a b", "n": 1}`
	for _, c := range []struct {
		config Config
		want   string
	}{
		{Config{Layout: LayoutAlpaca}, `{"instruction": "Sort.", "input": "b a", "output": "A.", "output_2": "a b", "n": 1}`},
		{Config{Layout: LayoutAlpaca, Replace: "output"}, `{"instruction": "Sort.", "input": "b a", "output": "A.", "n": 1}`},
		{Config{Replace: "output"}, `{"instruction": "Sort.", "input": "b a", "output": "A.", "n": 1}`},
		{Config{Columns: "*,output=gold", ResponseField: "output"}, `{"instruction": "Sort.", "input": "b a", "gold": "a b", "n": 1, "output": "A."}`},
	} {
		c.config.Provenance = ProvenanceNone
		got := line(t, testRun(), c.config, asked{question: "why?"}, answered([]string{row}, "A.")[0])
		if got != c.want {
			t.Errorf("%+v:\n%s\nwant\n%s", c.config, got, c.want)
		}
	}
}

func TestTheAnswerFileOfABatchHasALineForEachRequest(t *testing.T) {
	rows := []string{
		`{"custom_id": "request-1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "x"}, "topic": "a"}`,
		`{"custom_id": "request-2", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "x"}, "topic": "b"}`,
		`{"custom_id": "request-3", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "x"}, "topic": "c"}`,
	}
	answers := answered(rows, "One.", "", "")
	second := answers[0]
	again := *second.Result
	again.Text, again.Sample, second.Sample = "Uno.", 1, 1
	second.Result = &again
	answers[1].Failure = &pipeline.GenerationFailure{Class: pipeline.BadItem, Message: "too long"}
	run := testRun()
	run.Spec.Samples = 2
	out := filepath.Join(t.TempDir(), "out.jsonl")
	tally, err := exported(t, run, Config{Out: out, Layout: LayoutOpenAIBatch}, asked{question: "why?"}, append([]pipeline.Answer{answers[0], second}, answers[1:]...))
	if err != nil || tally.Lines != 3 || tally.Missing != 2 || tally.Failed != 1 {
		t.Fatalf("%+v, %v", tally, err)
	}
	type line struct {
		CustomID string `json:"custom_id"`
		Topic    string
		Method   string
		Response *struct {
			StatusCode int `json:"status_code"`
			Body       struct {
				Object, Model string
				Choices       []struct {
					Index        int
					Message      struct{ Role, Content string }
					FinishReason string `json:"finish_reason"`
				}
				Usage map[string]int
			}
		}
		Error *struct{ Code, Message string }
	}
	var lines []line
	for _, text := range strings.Split(strings.TrimSpace(unpacked(t, out)), "\n") {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		lines = append(lines, l)
	}
	first := lines[0].Response
	if len(lines) != 3 || first == nil || first.StatusCode != 200 || len(first.Body.Choices) != 2 || first.Body.Choices[1].Message.Content != "Uno." ||
		first.Body.Choices[1].Index != 1 || first.Body.Choices[0].FinishReason != "stop" || first.Body.Usage["total_tokens"] != 11 || lines[0].Error != nil {
		t.Errorf("%+v", lines)
	}
	if lines[1].Response != nil || *lines[1].Error != (struct{ Code, Message string }{"bad-item", "too long"}) || lines[2].Error.Code != "no_answer" {
		t.Errorf("%+v %+v", lines[1], lines[2])
	}
	for i, l := range lines {
		if l.CustomID != []string{"request-1", "request-2", "request-3"}[i] || l.Topic == "" || l.Method != "" {
			t.Errorf("%+v", l)
		}
	}
}

func TestThinkingStandsApartOrInline(t *testing.T) {
	thought := func(pipeline.Answer) string { return "Hm." }
	a := answered([]string{`{"q": 1}`}, "A.")[0]
	for _, c := range []struct {
		layout, reasoning, want string
	}{
		{LayoutRows, ReasoningColumn, `{"q": 1, "response": "A.", "reasoning": "Hm."}`},
		{LayoutRows, ReasoningInline, `{"q": 1, "response": "<think>\nHm.\n</think>\n\nA."}`},
		{LayoutChat, ReasoningColumn, `{"messages": [{"role":"user","content":"why?"},{"role":"assistant","content":"A.","reasoning_content":"Hm."}], "q": 1}`},
		{LayoutChat, ReasoningInline, `{"messages": [{"role":"user","content":"why?"},{"role":"assistant","content":"<think>\nHm.\n</think>\n\nA."}], "q": 1}`},
	} {
		got := line(t, testRun(), Config{Layout: c.layout, Reasoning: c.reasoning, Provenance: ProvenanceNone, Thought: thought}, asked{question: "why?"}, a)
		if got != c.want {
			t.Errorf("%s, %s:\n%s\nwant\n%s", c.layout, c.reasoning, got, c.want)
		}
	}
}

func TestTheFieldsOfAnAnswerBecomeColumns(t *testing.T) {
	answers := answered([]string{`{"q": 1, "score": 2}`, `{"q": 2}`}, " {\"label\": \"a\u2028b\",\n \"score\": 0.50, \"more\": 1}\n", "no object")
	run := testRun()
	run.Spec.Options.Schema = []byte(`{"properties":{"label":{},"score":{"type":"number"}}}`)
	c, names := settled(t, run, Config{Provenance: ProvenanceNone, Expand: true}, string(answers[0].Input))
	e, err := NewEncoder(run, c, names, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{
		`{"q": 1, "score": 2, "response": " {\"label\": \"a\u2028b\",\n \"score\": 0.50, \"more\": 1}\n", "label": "a\u2028b", "score_2": 0.50}`,
		`{"q": 2, "response": "no object", "label": null, "score_2": null}`,
	} {
		if got, err := e.Line(answers[i]); err != nil || string(got) != want {
			t.Errorf("%v\n%s\nwant\n%s", err, got, want)
		}
	}
}

func TestAProvenanceIsNestedFlatOrLeftOut(t *testing.T) {
	a := answered([]string{`{"q": 1}`}, "A.")[0]
	for kind, want := range map[string]string{
		ProvenanceNone: `{"q": 1, "response": "A."}`,
		ProvenanceNested: `{"q": 1, "response": "A.", "gleaner": {"id":"r/000000000.000","model":"m","options":{"num_predict":4},"seed":7,"sample":0,"finish":"stop",` +
			`"prompt_tokens":5,"output_tokens":3,"engine":"ollama","digest":"abababababab","created_at":"2023-11-14T22:13:20Z"}}`,
		ProvenanceFlat: `{"q": 1, "response": "A.", "gleaner_id": "r/000000000.000", "gleaner_model": "m", "gleaner_simulated": false, "gleaner_options": "{\"num_predict\":4}", ` +
			`"gleaner_seed": 7, "gleaner_sample": 0, "gleaner_finish": "stop", "gleaner_prompt_tokens": 5, "gleaner_output_tokens": 3, "gleaner_duration_ms": null, ` +
			`"gleaner_round": null, "gleaner_consumer": null, "gleaner_gpu": null, "gleaner_engine": "ollama", "gleaner_digest": "abababababab", "gleaner_created_at": "2023-11-14T22:13:20Z"}`,
	} {
		if got := line(t, testRun(), Config{Provenance: kind}, nil, a); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", kind, got, want)
		}
	}
}

func TestAProvenanceSaysHowManyTokensWereThinking(t *testing.T) {
	a := answered([]string{`{"q": 1}`}, "A.")[0]
	a.Result.ThinkingTokens = 2
	thought := func(pipeline.Answer) string { return "" }
	for kind, want := range map[string]string{
		ProvenanceNested: `"output_tokens":3,"thinking_tokens":2,"engine":"ollama"`,
		ProvenanceFlat:   `"gleaner_output_tokens": 3, "gleaner_thinking_tokens": 2, "gleaner_duration_ms": null`,
	} {
		if got := line(t, testRun(), Config{Provenance: kind, Thought: thought}, nil, a); !strings.Contains(got, want) {
			t.Errorf("%s:\n%s\nwithout\n%s", kind, got, want)
		}
	}
	a.Result.ThinkingTokens = 0
	if got := line(t, testRun(), Config{Provenance: ProvenanceFlat, Thought: thought}, nil, a); !strings.Contains(got, `"gleaner_thinking_tokens": null`) {
		t.Errorf("a run that may think has no column for it: %s", got)
	}
}

func TestAConversationInARunOfSingleQuestionsIsNamed(t *testing.T) {
	for _, layout := range []string{LayoutAlpaca, LayoutPromptCompletion} {
		c, names := settled(t, testRun(), Config{Layout: layout}, `{"q": 1}`)
		e, err := NewEncoder(testRun(), c, names, asked{"S", "why?"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Line(answered([]string{`{"q": 1}`}, "A.")[0]); err == nil || !strings.HasPrefix(err.Error(), "item r/000000000: its request has 2 messages") {
			t.Errorf("%s: %v", layout, err)
		}
	}
}

// In every layout each line of a simulated run says that it is simulated, and no line of another.
func TestEveryLineSaysWhetherItIsSimulated(t *testing.T) {
	for _, simulated := range []bool{true, false} {
		for _, layout := range Layouts() {
			run := testRun()
			run.Spec.Simulated = simulated
			got := line(t, run, Config{Layout: layout}, asked{question: "why?"}, answered([]string{`{"q": "x"}`}, "A.")[0])
			var is struct{ Gleaner struct{ Simulated bool } }
			if err := json.Unmarshal([]byte(got), &is); err != nil || is.Gleaner.Simulated != simulated || strings.Contains(got, "simulated") != simulated {
				t.Errorf("layout %s, simulated %t: %s (%v)", layout, simulated, got, err)
			}
		}
	}
}

func TestALineOfAFailedGenerationSaysWhyAndHoldsNoAnswer(t *testing.T) {
	run := pipeline.Run{Name: "r", Spec: pipeline.Spec{Model: "m", Options: pipeline.Options{NumPredict: 4}}}
	failure := func(class pipeline.Class, text string) *pipeline.GenerationFailure {
		return &pipeline.GenerationFailure{Generation: pipeline.Generation{Item: 7, Seed: 11}, Class: class, Message: "it is <too> long", Text: text, PromptTokens: 9, Judge: pipeline.LaneID{Consumer: "c", GPU: "g"}, Engine: pipeline.Ollama}
	}
	head := `"gleaner": {"id":"r/000000007.000","model":"m","options":{"num_predict":4},"seed":11,"sample":0,`
	for _, test := range []struct {
		failure *pipeline.GenerationFailure
		want    string
	}{
		{failure(pipeline.Truncated, "It is \u00e9"), `{"q": 1, "response": null, ` + head +
			`"finish":"length","prompt_tokens":9,"consumer":"c","gpu":"g","engine":"ollama","failed":"truncated","message":"it is <too> long","partial":"It is é"}}`},
		{failure(pipeline.BadItem, ""), `{"q": 1, "response": null, ` + head + `"prompt_tokens":9,"consumer":"c","gpu":"g","engine":"ollama","failed":"bad-item","message":"it is <too> long"}}`},
	} {
		got := line(t, run, Config{}, nil, pipeline.Answer{Item: 7, Input: []byte(`{"q": 1}`), Failure: test.failure})
		if got != test.want {
			t.Errorf("%s:\n%s\nwant\n%s", test.failure.Class, got, test.want)
		}
	}
}
