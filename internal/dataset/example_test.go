package dataset_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"strings"

	"gleaner/internal/dataset"
	"gleaner/internal/pipeline"
)

// Rows come as they are in the file. A row that cannot be used is an error that names its line, and
// reading goes on after it.
func ExampleReader() {
	file := strings.NewReader(`{"question": "2+2?", "level": 1.50}
not a row
{"question": "3+3?", "level": 2}
`)
	r, err := dataset.NewReader(file, "questions.jsonl")
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	for {
		row, err := r.Next()
		var bad *pipeline.RowError
		switch {
		case err == io.EOF:
			return
		case errors.As(err, &bad):
			fmt.Printf("line %d cannot be used\n", bad.Line)
		case err != nil:
			log.Fatal(err)
		default:
			fmt.Printf("line %d: %s\n", r.Line(), row)
		}
	}
	// Output:
	// line 1: {"question": "2+2?", "level": 1.50}
	// line 2 cannot be used
	// line 3: {"question": "3+3?", "level": 2}
}

// An exported line is the row with the answer and its provenance as further columns.
func ExampleLineEncoder() {
	run := pipeline.Run{Name: "sums", Spec: pipeline.Spec{Model: "tiny", Options: pipeline.Options{NumPredict: 64}}}
	encoder, err := dataset.NewLineEncoder(run, dataset.Layout{Name: dataset.LayoutRows, Response: "response"}, nil)
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

// Columns can be added to a row without changing what it has.
func ExampleAppend() {
	row, err := dataset.Append([]byte(`{"z": 1.50, "a": null}`), dataset.Field{Name: "label", Value: "<odd>"})
	fmt.Println(string(row), err)
	// Output: {"z": 1.50, "a": null, "label": "<odd>"} <nil>
}
