package export

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

func TestTheFieldsOfASchemaAreItsPropertiesInItsOrder(t *testing.T) {
	for schema, want := range map[string]string{
		`{"type":"object","properties":{"label":{},"score":{"type":"number"},"a b":true}}`:                         "label score a b",
		`{"$ref":"#/$defs/Answer","$defs":{"Answer":{"properties":{"next":{"$ref":"#/$defs/Answer"}}}}}`:           "next", // as pydantic writes one that contains itself
		`{"allOf":[{"properties":{"a":{}}},true,{"$ref":"#/$defs/x~1y"}],"$defs":{"x/y":{"properties":{"b":{}}}}}`: "a b",
		`{"oneOf":[{"properties":{"a":{},"b":{}}},{"properties":{"b":{},"c":{}}}],"properties":{"z":{}}}`:          "a b c z",
		`{"if":{"properties":{"no":{}}},"then":{"properties":{"yes":{}}}}`:                                         "yes",
		`{"$ref":"#","properties":{"a":{"properties":{"inside":{}}}}}`:                                             "a",
		`{"anyOf":[{"$ref":"#/anyOf/0"},{"$ref":"#/none"}],"properties":{"a":{}}}`:                                 "a",
	} {
		c, err := Config{Expand: true}.For(pipeline.Spec{Options: pipeline.Options{Schema: []byte(schema)}})
		if err != nil {
			t.Errorf("%s: %v", schema, err)
		}
		if diff := cmp.Diff(want, strings.Join(c.fields, " ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", schema, diff)
		}
	}
}

func TestWhatHasNoFieldsIsNotExpanded(t *testing.T) {
	for schema, say := range map[string]string{
		"":                 "this run has none: leave it out, or make a run with --schema FILE",
		pipeline.AnyJSON:   "that of this run names none",
		`{"type":"array"}`: "that of this run names none",
		"true":             "that of this run names none",
	} {
		_, err := Config{Expand: true}.For(pipeline.Spec{Options: pipeline.Options{Schema: []byte(schema)}})
		if err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("%q: %v", schema, err)
		}
	}
	if err := CheckFlags(Config{Expand: true, Layout: LayoutOpenAIBatch}); err == nil || !strings.Contains(err.Error(), "--expand: the columns of layout openai-batch are fixed") {
		t.Error(err)
	}
}

// A field never takes the name of a column that is there, of the row's or of Gleaner's.
func TestAFieldWhoseNameIsTakenGetsANumber(t *testing.T) {
	run := testRun()
	run.Spec.Options.Schema = []byte(`{"properties":{"q":{},"response":{},"gleaner":{},"note":{}}}`)
	answers := answered([]string{`{"q": 1}`}, `{"note":"x","q":2,"response":3,"gleaner":4}`)
	for layout, want := range map[string]string{
		LayoutRows: `{"q": 1, "response": "{\"note\":\"x\",\"q\":2,\"response\":3,\"gleaner\":4}", "q_2": 2, "response_2": 3, "gleaner_2": 4, "note": "x", "gleaner": {`,
		LayoutChat: `{"messages": [{"role":"user","content":"why?"},{"role":"assistant","content":"{\"note\":\"x\",\"q\":2,\"response\":3,\"gleaner\":4}"}], "q": 1, "q_2": 2, "response": 3, "gleaner_2": 4, "note": "x", "gleaner": {`,
	} {
		c, names := settled(t, run, Config{Layout: layout, Expand: true}, `{"q": 1}`)
		e, err := NewEncoder(run, c, names, asked{question: "why?"})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := e.Line(answers[0]); err != nil || !strings.HasPrefix(string(got), want) {
			t.Errorf("%v\n%s\nwant\n%s", err, got, want)
		}
		if said := strings.Join(names.Notes, "\n"); !strings.Contains(said, `there is a column "q" already, which stays: the answer's field of this name is "q_2"`) {
			t.Error(said)
		}
	}
}

// Fields that an answer does not have are null, in every format, and a column has one type.
func TestFieldsAreColumnsInEachFormat(t *testing.T) {
	run := testRun()
	run.Spec.Options.Schema = []byte(`{"properties":{"label":{"type":"string"},"score":{"type":"integer"}},"required":["label"]}`)
	answers := answered([]string{`{"q": 1}`, `{"q": 2}`}, `{"label":"good","score":9007199254740993}`, `{"label":"bad"}`)
	for out, want := range map[string]string{
		"out.csv":   "q,response,label,score\r\n1,\"{\"\"label\"\":\"\"good\"\",\"\"score\"\":9007199254740993}\",good,9007199254740993\r\n2,\"{\"\"label\"\":\"\"bad\"\"}\",bad,\r\n",
		"out.jsonl": `{"q": 2, "response": "{\"label\":\"bad\"}", "label": "bad", "score": null}`,
	} {
		c := Config{Out: t.TempDir() + "/" + out, Provenance: ProvenanceNone, Expand: true}
		if _, err := exported(t, run, c, nil, answers); err != nil {
			t.Fatal(err)
		}
		if got := unpacked(t, c.Out); !strings.Contains(got, want) {
			t.Errorf("%s:\n%s\nwant\n%s", out, got, want)
		}
	}
	c := Config{Out: t.TempDir() + "/", Expand: true}
	if _, err := exported(t, run, c, nil, answers); err != nil {
		t.Fatal(err)
	}
	if card := unpacked(t, c.Out+"README.md"); !strings.Contains(card, "- `score`, int64: a field of the answer") {
		t.Error(card)
	}
}
