package producer

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"gleaner/internal/pipeline"
)

// requestLine is a line of a file for OpenAI's batch API.
func requestLine(id int, options string) string {
	return fmt.Sprintf(`{"custom_id":"c%d","method":"POST","url":"/v1/chat/completions","body":{"model":"gpt-4o",%s"messages":[{"role":"user","content":"q%d"}]}}`, id, options, id)
}

func requests(lines ...string) (pipeline.Spec, Dataset) {
	s := spec()
	s.Field = ""
	data := rowsOf("batch.jsonl", lines...)
	data.Unset = append(pipeline.Options{}.Unset(), "samples", "seed")
	return s, data
}

// What rows ask for is part of the run, so that every pass over them and every later render agree.
func TestRequestsOfABatchAreLoadedWithTheirOptions(t *testing.T) {
	s, data := requests(requestLine(1, `"temperature":0.5,"n":2,`), requestLine(2, `"temperature":0.5,"n":2,`))
	found, err := RunPreflight(t.Context(), "r", s, data, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := found.Run.Spec
	if found.Run.Generations != 4 || *got.Options.Temperature != 0.5 || got.Requests == nil || got.ID != "custom_id" || !strings.Contains(found.Note, "--temperature 0.5 --samples 2") {
		t.Errorf("%+v, note %q", got, found.Note)
	}
	store := newStore()
	if _, _, err := Load(t.Context(), store, found, "uid", nil); err != nil {
		t.Fatal(err)
	}
	builder, err := NewWorkBuilder(store, *store.run)
	if err != nil {
		t.Fatal(err)
	}
	works, err := builder.Build(t.Context(), []pipeline.Batch{store.batches[0]})
	if err != nil || works[0].Generations[0].Messages[0].Content != "q1" || *works[0].Options.Temperature != 0.5 {
		t.Errorf("%+v, %v", works, err)
	}
}

func TestRequestsThatDifferAreBadRows(t *testing.T) {
	lines := []string{requestLine(1, `"temperature":0.5,`), requestLine(2, `"temperature":0.5,`), requestLine(3, `"temperature":1,`), requestLine(4, ""), `{"question":"q"}`}
	s, data := requests(lines...)
	_, err := RunPreflight(t.Context(), "r", s, data, nil)
	var bad *BadRowsError
	if !errors.As(err, &bad) || bad.Bad.Total() != 3 || !strings.Contains(err.Error(), "2 asking for other options than the run's") || !strings.Contains(err.Error(), "--temperature 1") {
		t.Fatalf("it says %v", err)
	}
	data.SkipBad = true
	if found, err := RunPreflight(t.Context(), "r", s, data, nil); err != nil || found.Run.Items != 2 {
		t.Errorf("%d rows, %v", found.Run.Items, err)
	}
	data.SkipBad = false
	s.Field = "body.messages"
	if _, err := RunPreflight(t.Context(), "r", s, Dataset{Name: data.Name, Open: rowsOf("b.jsonl", lines[:4]...).Open}, nil); err != nil {
		t.Errorf("the messages alone: %v", err)
	}
}

func TestASchemaThatRequestsBringIsCheckedBeforeTheyAreLoaded(t *testing.T) {
	const format = `"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":%s}},`
	s, data := requests(requestLine(1, fmt.Sprintf(format, `{"type":"object"}`)))
	if found, err := RunPreflight(t.Context(), "r", s, data, nil); err != nil || string(found.Run.Spec.Options.Schema) != `{"type":"object"}` {
		t.Errorf("%s, %v", found.Run.Spec.Options.Schema, err)
	}
	s, data = requests(requestLine(1, fmt.Sprintf(format, `{"type":"objekt"}`)))
	_, err := RunPreflight(t.Context(), "r", s, data, nil)
	var wrong *pipeline.SpecError
	if !errors.As(err, &wrong) || wrong.Field != "schema" || !strings.Contains(err.Error(), "response_format") {
		t.Errorf("it says %v", err)
	}
}
