package pipeline

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// validSpec returns a spec in which every field is set.
func validSpec() Spec {
	temperature, topP, topK := 0.7, 0.9, 40
	return Spec{
		Model: "tiny", System: "Be brief.", Field: "question", Samples: 2, Batch: 8, Seed: 7,
		Options: Options{Temperature: &temperature, TopP: &topP, TopK: &topK, NumPredict: 256, Stop: []string{"\n\n"}},
		Dataset: DatasetID{Name: "train.jsonl", Digest: "d"},
	}
}

func TestASpecNamesTheFieldThatIsNotValid(t *testing.T) {
	f := func(v float64) *float64 { return &v }
	k := func(v int) *int { return &v }
	for _, c := range []struct {
		name   string
		change func(*Spec)
		field  string // "" if it is valid
	}{
		{"everything set", func(*Spec) {}, ""},
		{"the model's own options", func(s *Spec) { s.Options = Options{NumPredict: 1} }, ""},
		{"a template in place of a column", func(s *Spec) { s.Field, s.Prompt = "", "{{.question}}" }, ""},
		{"everything at its limit", func(s *Spec) {
			s.Samples, s.Batch, s.Options.NumPredict = MaxSamples, MaxBatch, MaxNumPredict
			s.Options.Temperature, s.Options.TopP, s.Options.TopK = f(5), f(1), k(1)
			s.System = strings.Repeat("x", MaxSystemBytes)
		}, ""},
		{"temperature 0", func(s *Spec) { s.Options.Temperature = f(0) }, ""},
		{"no model", func(s *Spec) { s.Model = "" }, "model"},
		{"neither column nor template", func(s *Spec) { s.Field = "" }, "field"},
		{"column and template", func(s *Spec) { s.Prompt = "{{.x}}" }, "field"},
		{"a system prompt that is too long", func(s *Spec) { s.System = strings.Repeat("x", MaxSystemBytes+1) }, "system"},
		{"a system prompt in Latin-1", func(s *Spec) { s.System = "caf\xe9" }, "system"},
		{"a model in Latin-1", func(s *Spec) { s.Model = "caf\xe9" }, "model"},
		{"a column in Latin-1", func(s *Spec) { s.Field = "caf\xe9" }, "field"},
		{"a template in Latin-1", func(s *Spec) { s.Field, s.Prompt = "", "caf\xe9" }, "prompt"},
		{"a stop sequence in Latin-1, in two parts", func(s *Spec) { s.Options.Stop = []string{"\xc3", "\xa9"} }, "stop"},
		{"no samples", func(s *Spec) { s.Samples = 0 }, "samples"},
		{"too many samples", func(s *Spec) { s.Samples = MaxSamples + 1 }, "samples"},
		{"an empty batch", func(s *Spec) { s.Batch = 0 }, "batch"},
		{"too large a batch", func(s *Spec) { s.Batch = MaxBatch + 1 }, "batch"},
		{"an endless answer", func(s *Spec) { s.Options.NumPredict = -1 }, "num-predict"},
		{"too long an answer", func(s *Spec) { s.Options.NumPredict = MaxNumPredict + 1 }, "num-predict"},
		{"a negative temperature", func(s *Spec) { s.Options.Temperature = f(-0.1) }, "temperature"},
		{"a temperature that is no number", func(s *Spec) { s.Options.Temperature = f(math.NaN()) }, "temperature"},
		{"too hot", func(s *Spec) { s.Options.Temperature = f(math.Inf(1)) }, "temperature"},
		{"top-p 0", func(s *Spec) { s.Options.TopP = f(0) }, "top-p"},
		{"top-p above 1", func(s *Spec) { s.Options.TopP = f(1.01) }, "top-p"},
		{"top-p that is no number", func(s *Spec) { s.Options.TopP = f(math.NaN()) }, "top-p"},
		{"top-k 0", func(s *Spec) { s.Options.TopK = k(0) }, "top-k"},
		{"simulated, with the name of a simulated model", func(s *Spec) { s.Simulated, s.Model = true, SimulatedModel(s.Model) }, ""},
		{"simulated, with the name of a real model", func(s *Spec) { s.Simulated = true }, "model"},
		{"real, with the name of a simulated model", func(s *Spec) { s.Model = SimulatedModel(s.Model) }, "model"},
		{"an empty stop sequence", func(s *Spec) { s.Options.Stop = []string{"\n", ""} }, "stop"},
	} {
		t.Run(c.name, func(t *testing.T) {
			spec := validSpec()
			c.change(&spec)
			err := spec.Validate()
			var bad *SpecError
			switch {
			case c.field == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.field != "" && (!errors.As(err, &bad) || bad.Field != c.field || bad.Problem == ""):
				t.Errorf("got %v, want an error of field %s", err, c.field)
			case c.field != "" && !strings.HasPrefix(err.Error(), c.field+": "):
				t.Errorf("the message %q does not begin with the field", err)
			}
		})
	}
}

func TestRunNamesAreOfAFewCharacters(t *testing.T) {
	for _, name := range []string{"a", "0", "gsm8k-train", "a-", strings.Repeat("a", 63)} {
		if err := ValidateRunName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", "-a", "A", "a_b", "a.b", "a/b", "a b", "a\n", "é", "a*", ">", strings.Repeat("a", 64)} {
		var bad *SpecError
		if err := ValidateRunName(name); !errors.As(err, &bad) || bad.Field != "run" {
			t.Errorf("%q: %v, want an error of field run", name, err)
		}
	}
}

func TestTheNameOfASimulatedModelIsNeverThatOfARealOne(t *testing.T) {
	for name, want := range map[string]string{"mistral": "simulated/mistral", "simulated/mistral:7b": "simulated/mistral:7b", "hf.co/a/b": "simulated/hf.co/a/b", "": ""} {
		if got := SimulatedModel(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func TestDifferencesNameTheFlags(t *testing.T) {
	other := 0.1
	one := 1
	for _, c := range []struct {
		change func(*Spec)
		want   []string
	}{
		{func(*Spec) {}, nil},
		{func(s *Spec) { s.Dataset.Name = "another.jsonl" }, nil},
		{func(s *Spec) { s.Dataset.Digest = "x" }, []string{"dataset"}},
		{func(s *Spec) { s.Model = "x" }, []string{"model"}},
		{func(s *Spec) { s.System = "x" }, []string{"system"}},
		{func(s *Spec) { s.Field = "x" }, []string{"field"}},
		{func(s *Spec) { s.Prompt = "x" }, []string{"prompt"}},
		{func(s *Spec) { s.ID = "qid" }, []string{"id"}},
		{func(s *Spec) { s.Samples = 3 }, []string{"samples"}},
		{func(s *Spec) { s.Batch = 3 }, []string{"batch"}},
		{func(s *Spec) { s.Seed = 3 }, []string{"seed"}},
		{func(s *Spec) { s.Simulated = true }, []string{"simulate"}},
		{func(s *Spec) { s.Options.Temperature = &other }, []string{"temperature"}},
		{func(s *Spec) { s.Options.TopP = nil }, []string{"top-p"}},
		{func(s *Spec) { s.Options.TopK = &one }, []string{"top-k"}},
		{func(s *Spec) { s.Options.NumPredict = 1 }, []string{"num-predict"}},
		{func(s *Spec) { s.Options.Stop = nil }, []string{"stop"}},
		{func(s *Spec) { s.Options.Raw = true }, []string{"raw"}},
		{func(s *Spec) { s.Simulated = true }, []string{"simulate"}},
		{func(s *Spec) { s.Model, s.Options.Stop = "x", []string{"a", "b"} }, []string{"model", "stop"}},
	} {
		spec := validSpec()
		c.change(&spec)
		if diff := cmp.Diff(c.want, validSpec().Differences(spec)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	with, without := validSpec(), validSpec()
	with.Options.Stop, without.Options.Stop = []string{}, nil
	if got := with.Differences(without); got != nil {
		t.Errorf("no stop sequences in two ways differ in %v", got)
	}
}

// A spec goes through a store and comes back: it has to be the same then.
func TestASpecIsTheSameAfterJSON(t *testing.T) {
	data, err := Encode(validSpec())
	if err != nil {
		t.Fatal(err)
	}
	var back Spec
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(validSpec(), back); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
	if got := validSpec().Differences(back); got != nil {
		t.Errorf("it differs in %v", got)
	}
}

func TestOptionsAreShownWithTheirFlags(t *testing.T) {
	temperature, topP, topK := 0.5, 0.9, 40
	all := Options{NumPredict: 64, Temperature: &temperature, TopP: &topP, TopK: &topK, Stop: []string{"\n"}}
	want := []string{"temperature 0.5", "top-p 0.9", "top-k 40", "num-predict 64", `stop "\n"`}
	if diff := cmp.Diff(want, all.Flags()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want[3:4], Options{NumPredict: 64}.Flags()); diff != "" {
		t.Errorf("none set (-want +got):\n%s", diff)
	}
}
