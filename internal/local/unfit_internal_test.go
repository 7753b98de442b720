package local

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"gleaner/internal/consumer"
	"gleaner/internal/pipeline"
)

// A refusing server answers with an error, and remembers what it was asked.
type refusing struct {
	err   error
	asked []pipeline.Request
}

func (r *refusing) Generate(_ context.Context, request pipeline.Request) (pipeline.Completion, error) {
	r.asked = append(r.asked, request)
	return pipeline.Completion{}, r.err
}

func TestARunThatNoServerCanDoIsRefusedBeforeItBegins(t *testing.T) {
	no := pipeline.Fail(pipeline.Fatal, "think value %q is not supported", "low")
	cut := pipeline.Fail(pipeline.Truncated, "cut off")
	for name, c := range map[string]struct {
		options pipeline.Options
		model   pipeline.ModelInfo
		err     error
		asks    int
		want    string // empty: it begins
	}{
		"nothing is asked":      {pipeline.Options{Think: pipeline.ThinkAuto}, pipeline.ModelInfo{Context: 512}, no, 0, ""},
		"a small context":       {pipeline.Options{NumCtx: 8192}, pipeline.ModelInfo{Name: "m", Context: 4096}, nil, 0, "OLLAMA_CONTEXT_LENGTH=8192"},
		"it cannot think":       {pipeline.Options{Think: pipeline.ThinkOn}, pipeline.ModelInfo{Name: "m", SaysThinks: true}, nil, 0, "model m cannot think"},
		"a level that is none":  {pipeline.Options{Think: pipeline.ThinkLow}, pipeline.ModelInfo{}, no, 1, `the model server refuses what the run asks for: think value "low" is not supported`},
		"a schema that is none": {pipeline.Options{Schema: json.RawMessage("{}")}, pipeline.ModelInfo{}, no, 1, "the model server refuses"},
		"one token is not much": {pipeline.Options{Think: pipeline.ThinkOn}, pipeline.ModelInfo{}, cut, 1, ""},
	} {
		server := &refusing{err: c.err}
		run := pipeline.Run{Name: "r", Spec: pipeline.Spec{Model: "m", Options: c.options}}
		err := RefuseUnfit(t.Context(), run, []consumer.LaneConfig{{Name: "g", Backend: server, Model: c.model}})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if len(server.asked) != c.asks || c.asks > 0 && (server.asked[0].Options.NumPredict != 1 || server.asked[0].Options.Think != c.options.Think) {
			t.Errorf("%s: the server was asked %+v", name, server.asked)
		}
	}
}
