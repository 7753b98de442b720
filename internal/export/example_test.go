package export_test

import (
	"fmt"
	"log"
	"strings"

	"gleaner/internal/export"
	"gleaner/internal/pipeline"
)

// An exported line is the row with the answer and its provenance as further columns.
func ExampleEncoder() {
	run := pipeline.Run{Name: "sums", Spec: pipeline.Spec{Model: "tiny", Options: pipeline.Options{NumPredict: 64}}}
	encoder, err := export.NewEncoder(run, export.Config{}, export.Names{}, nil)
	if err != nil {
		log.Fatal(err)
	}
	line, err := encoder.Line(pipeline.Answer{
		Item: 7, Input: []byte(`{"question": "2+2?"}`),
		Result: &pipeline.StoredResult{
			Result: pipeline.Result{Text: "4", Finish: pipeline.FinishStop, Seed: 11, PromptTokens: 9, OutputTokens: 2},
			Round:  1, Engine: pipeline.Ollama, Digest: strings.Repeat("0123456789abcdef", 4),
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(strings.ReplaceAll(string(line), ",", ",\n"))
	// Output:
	// {"question": "2+2?",
	//  "response": "4",
	//  "gleaner": {"id":"sums/000000007.000",
	// "model":"tiny",
	// "options":{"num_predict":64},
	// "seed":11,
	// "sample":0,
	// "finish":"stop",
	// "prompt_tokens":9,
	// "output_tokens":2,
	// "round":1,
	// "engine":"ollama",
	// "digest":"0123456789ab"}}
}
