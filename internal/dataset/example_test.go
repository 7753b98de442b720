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

// Columns can be added to a row without changing what it has.
func ExampleAppend() {
	row, err := dataset.Append([]byte(`{"z": 1.50, "a": null}`), dataset.Field{Name: "label", Value: "<odd>"})
	fmt.Println(string(row), err)
	// Output: {"z": 1.50, "a": null, "label": "<odd>"} <nil>
}
