package prompt

import (
	"errors"
	"strings"
	"testing"

	"gleaner/internal/pipeline"
)

func TestARowHasTheIDThatItsUserGaveIt(t *testing.T) {
	for _, c := range []struct{ column, row, want string }{
		{"", `{"id": "a"}`, ""},
		{"id", `{"id": "q\u00e97"}`, "qé7"},
		{"id", `{"id": 9007199254740993}`, "9007199254740993"},
		{"n", `{"n": 1.50}`, "1.50"},
		{"meta.id", `{"meta": {"id": "inner"}}`, "inner"},
		{"meta.id", `{"meta": {"id": "inner"}, "meta.id": "whole"}`, "whole"},
		{"ids.1", `{"ids": ["a", "b"]}`, "b"},
	} {
		if got, err := RowID(pipeline.Spec{ID: c.column}, []byte(c.row)); got != c.want || err != nil {
			t.Errorf("column %q of %s: %q, %v, want %q", c.column, c.row, got, err, c.want)
		}
	}
}

func TestAnIDIsATextOrANumber(t *testing.T) {
	for row, want := range map[string]string{
		`{"x": 1, "y": 2}`: `there is no column "id" for its id; the row's columns are x, y`,
		`{"id": null}`:     "is null",
		`{"id": true}`:     "is true",
		`{"id": ["a"]}`:    "is a list of 1",
		`{"id": {"a": 1}}`: "is an object",
		`{"id": "  "}`:     "is empty",
		`{"id": "` + strings.Repeat("x", pipeline.MaxRowIDBytes+1) + `"}`: "has 1025 bytes",
	} {
		id, err := RowID(pipeline.Spec{ID: "id"}, []byte(row))
		var problem *RowProblem
		if id != "" || !errors.As(err, &problem) || problem.Kind != pipeline.NoID || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %q, %v, want %s", row, id, err, want)
		}
	}
}
