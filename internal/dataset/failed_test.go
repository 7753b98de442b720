package dataset_test

import (
	"testing"

	"gleaner/internal/dataset"
	"gleaner/internal/pipeline"
)

// asked is a renderer that asks the same of every row.
type asked struct{}

func (asked) Render([]byte) ([]pipeline.Message, error) { return pipeline.User("why?"), nil }

func TestALineOfAFailedGenerationSaysWhyAndHoldsNoAnswer(t *testing.T) {
	run := pipeline.Run{Name: "r", Spec: pipeline.Spec{Model: "m", Options: pipeline.Options{NumPredict: 4}}}
	failure := func(class pipeline.Class, text string) *pipeline.GenerationFailure {
		return &pipeline.GenerationFailure{Generation: pipeline.Generation{Item: 7, Seed: 11}, Class: class, Message: "it is <too> long", Text: text, PromptTokens: 9, Judge: pipeline.LaneID{Consumer: "c", GPU: "g"}, Engine: pipeline.Ollama}
	}
	head := `"gleaner": {"id":"r/000000007.000","model":"m","options":{"num_predict":4},"seed":11,"sample":0,`
	for _, test := range []struct {
		layout  string
		failure *pipeline.GenerationFailure
		want    string
	}{
		{dataset.LayoutRows, failure(pipeline.Truncated, "It is \u00e9"), `{"q": 1, "response": null, ` + head +
			`"finish":"length","prompt_tokens":9,"consumer":"c","gpu":"g","engine":"ollama","failed":"truncated","message":"it is <too> long","partial":"It is é"}}`},
		{dataset.LayoutRows, failure(pipeline.BadItem, ""), `{"q": 1, "response": null, ` + head + `"prompt_tokens":9,"consumer":"c","gpu":"g","engine":"ollama","failed":"bad-item","message":"it is <too> long"}}`},
		{dataset.LayoutChat, failure(pipeline.Truncated, "It is"), `{"messages": [{"role":"user","content":"why?"},{"role":"assistant","content":null}], ` + head +
			`"finish":"length","prompt_tokens":9,"consumer":"c","gpu":"g","engine":"ollama","failed":"truncated","message":"it is <too> long","partial":"It is"}}`},
	} {
		encoder, err := dataset.NewLineEncoder(run, dataset.Layout{Name: test.layout, Response: "response"}, asked{})
		if err != nil {
			t.Fatal(err)
		}
		line, err := encoder.Line(pipeline.Answer{Item: 7, Input: []byte(`{"q": 1}`), Failure: test.failure})
		if err != nil || string(line) != test.want {
			t.Errorf("%s, %s: %v\n%s\nwant\n%s", test.layout, test.failure.Class, err, line, test.want)
		}
	}
}
