package export

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The mapping for LLaMA-Factory names what the layouts write: columns, and the words of tags.
func TestTheMappingForLLaMAFactoryIsRight(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "deploy", "llamafactory", "dataset_info.json"))
	if err != nil {
		t.Fatal(err)
	}
	var datasets map[string]struct {
		FileName   string `json:"file_name"`
		Formatting string
		Columns    map[string]string
		Tags       map[string]string
	}
	if err := json.Unmarshal(data, &datasets); err != nil {
		t.Fatal(err)
	}
	run := testRun()
	run.Spec.System = "S"
	for name, d := range datasets {
		layout := strings.TrimSuffix(d.FileName, ".jsonl")
		text := line(t, run, Config{Layout: layout}, asked{"S", "why?"}, answered([]string{`{"question": "x"}`}, "A.")[0])
		var row map[string]any
		if err := json.Unmarshal([]byte(text), &row); err != nil {
			t.Fatal(err)
		}
		for _, column := range d.Columns {
			if row[column] == nil {
				t.Errorf("%s: there is no column %q: %s", name, column, text)
			}
		}
		turns, isChat := row[d.Columns["messages"]].([]any)
		if isChat != (d.Formatting == "sharegpt") {
			t.Errorf("%s: formatting %q for %s", name, d.Formatting, text)
		}
		for i, turn := range turns {
			said := turn.(map[string]any)
			if role := []string{"system_tag", "user_tag", "assistant_tag"}[i]; said[d.Tags["role_tag"]] != d.Tags[role] || said[d.Tags["content_tag"]] == nil {
				t.Errorf("%s: turn %v, want %s", name, turn, d.Tags[role])
			}
		}
	}
	if len(datasets) < 4 {
		t.Errorf("there are %d datasets", len(datasets))
	}
}
