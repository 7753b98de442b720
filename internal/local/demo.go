package local

import (
	"bytes"
	_ "embed"

	"gleaner/internal/dataset"
	"gleaner/internal/producer"
)

// problems are fifty arithmetic word problems for this demo. They are the dataset of a run that
// gets none.
//
//go:embed problems.jsonl
var problems []byte

// Problems returns the dataset of the demo; its column question holds the instruction.
func Problems(limit int) producer.Dataset {
	return producer.Dataset{Name: "problems.jsonl", Limit: limit, Open: func() (producer.Rows, error) {
		return dataset.NewReader(bytes.NewReader(problems), "problems.jsonl")
	}}
}
