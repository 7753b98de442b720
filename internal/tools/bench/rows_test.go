package main

import (
	"encoding/json"
	"testing"

	"gleaner/internal/prompt"
)

func TestEveryRowHasItsNumberAndTheSizesOfGSM8K(t *testing.T) {
	for _, seq := range []int{0, 9, 999_999} {
		prompt := promptOf(t, row(seq))
		if n, err := rowOf(prompt); err != nil || n != seq {
			t.Errorf("row %d says %d, %v", seq, n, err)
		}
		if len(prompt) != questionBytes {
			t.Errorf("row %d has a question of %d bytes", seq, len(prompt))
		}
	}
}

func promptOf(t *testing.T, row []byte) string {
	t.Helper()
	if !json.Valid(row) {
		t.Fatalf("not JSON: %s", row)
	}
	renderer, err := prompt.New(spec())
	if err != nil {
		t.Fatal(err)
	}
	messages, err := renderer.Render(row)
	if err != nil {
		t.Fatal(err)
	}
	return messages[len(messages)-1].Content
}
