package chat

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gleaner/internal/pipeline"
)

// A Difference is an option that the lines of a batch ask for and that the run does not have.
type Difference struct {
	Option string // by its name in the body: "max_tokens"
	Flags  string // what asks the run for it: "--num-predict 256"; empty: nothing does
}

// Differences returns what the options ask for and the spec of a run does not. Nothing is said of
// an option that they leave out, and nothing of the model, which is another one anyway.
func (o BatchOptions) Differences(spec pipeline.Spec) (list []Difference) {
	say := func(option, flag string, value any) {
		if flag != "" {
			flag = fmt.Sprintf("--%s %v", flag, value)
		}
		list = append(list, Difference{option, flag})
	}
	for _, f := range []struct {
		option, flag string
		want, is     *float64
		none         float64 // what is the same as to say nothing
	}{
		{"temperature", "temperature", o.Temperature, spec.Options.Temperature, -1},
		{"top_p", "top-p", o.TopP, spec.Options.TopP, -1},
		{"min_p", "min-p", o.MinP, nil, 0},
		{"repetition_penalty", "repeat-penalty", o.RepetitionPenalty, nil, -1},
		{"presence_penalty", "presence-penalty", o.PresencePenalty, nil, 0},
		{"frequency_penalty", "frequency-penalty", o.FrequencyPenalty, nil, 0},
	} {
		if f.want != nil && (f.is == nil && *f.want != f.none || f.is != nil && *f.is != *f.want) {
			say(f.option, f.flag, strconv.FormatFloat(*f.want, 'g', -1, 64))
		}
	}
	for _, f := range []struct {
		option, flag string
		want, is     *int
	}{
		{"top_k", "top-k", o.TopK, spec.Options.TopK},
		{"max_tokens", "num-predict", o.MaxTokens, &spec.Options.NumPredict},
		{"n", "samples", o.N, &spec.Samples},
		{"seed", "seed", o.Seed, &spec.Seed},
	} {
		if f.want != nil && (f.is == nil || *f.is != *f.want) && !(f.option == "n" && *f.want == 1) { // which everyone says
			say(f.option, f.flag, *f.want)
		}
	}
	if len(o.Stop) > 0 && !slices.Equal(o.Stop, spec.Options.Stop) {
		flags := make([]string, len(o.Stop))
		for i, stop := range o.Stop {
			flags[i] = "--stop " + strconv.Quote(stop)
		}
		list = append(list, Difference{"stop", strings.Join(flags, " ")})
	}
	if o.asksForJSON() {
		list = append(list, Difference{"response_format", "--schema"})
	}
	if o.ReasoningEffort != "" {
		say("reasoning_effort", "think", o.ReasoningEffort)
	}
	return list
}

// asksForJSON reports whether the answer has to be JSON, of a schema or of any kind.
func (o BatchOptions) asksForJSON() bool {
	if o.ResponseFormat == nil {
		return false
	}
	kind, ok, err := Lookup(o.ResponseFormat, "type")
	return err != nil || !ok || string(kind) != `"text"`
}
