package dataset

import (
	"encoding/json"
	"strings"
	"testing"

	"gleaner/internal/pipeline"
)

// In every layout each line of a simulated run says that it is simulated, and no line of another.
func TestEveryLineSaysWhetherItIsSimulated(t *testing.T) {
	for _, simulated := range []bool{true, false} {
		for _, layout := range []string{LayoutRows, LayoutChat} {
			run := pipeline.Run{Name: "r", Spec: pipeline.Spec{Model: "m", Simulated: simulated}}
			encoder, err := NewLineEncoder(run, Layout{Name: layout, Response: "response"}, renderer{})
			if err != nil {
				t.Fatal(err)
			}
			for _, result := range []*pipeline.StoredResult{nil, {Engine: pipeline.Ollama, Digest: "name"}} {
				line, err := encoder.Line(pipeline.Answer{Input: []byte(`{"q": "x"}`), Result: result})
				if err != nil {
					t.Fatal(err)
				}
				var got struct {
					Gleaner struct {
						Simulated      bool
						Engine, Digest string
					}
				}
				if err := json.Unmarshal(line, &got); err != nil || got.Gleaner.Simulated != simulated || strings.Contains(string(line), "simulated") != simulated {
					t.Errorf("layout %s, simulated %t: %s (%v)", layout, simulated, line, err)
				}
				if result != nil && (got.Gleaner.Engine != "ollama" || got.Gleaner.Digest != "name") {
					t.Errorf("layout %s: %s", layout, line)
				}
			}
		}
	}
}

type renderer struct{}

func (renderer) Render(row []byte) ([]pipeline.Message, error) {
	return pipeline.User(string(row)), nil
}
