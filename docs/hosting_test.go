package docs_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// The workflow runs on changes and on proposals what has to pass, and nothing besides: what CI
// does can be done by everyone.
func TestTheWorkflowRunsWhatHasToPass(t *testing.T) {
	var workflow struct {
		On struct {
			Push *struct{ Branches []string }
		} `json:"true"` // which is what YAML reads the word on as
		Jobs map[string]struct {
			Steps []struct{ Run, Uses string }
		}
	}
	content := text(t, ".github/workflows/ci.yml")
	if err := yaml.Unmarshal([]byte(content), &workflow); err != nil {
		t.Fatal(err)
	}
	if workflow.On.Push == nil || !slices.Equal(workflow.On.Push.Branches, []string{"main"}) || !strings.Contains(content, "\n  pull_request:\n") {
		t.Errorf("it runs on %+v", workflow.On)
	}
	runs := 0
	for _, job := range workflow.Jobs {
		for _, step := range job.Steps {
			if step.Run == ".ci/run" {
				runs++
			}
			if step.Run == "" && step.Uses == "" {
				t.Errorf("a step does nothing: %+v", step)
			}
		}
	}
	if runs != 1 {
		t.Errorf(".ci/run runs %d times", runs)
	}
}

func TestTheTemplatesHaveWhatThePlatformShows(t *testing.T) {
	templates, err := filepath.Glob(filepath.Join(root, ".github", "ISSUE_TEMPLATE", "*.md"))
	if err != nil || len(templates) < 2 {
		t.Fatalf("templates: %v %v", templates, err)
	}
	for _, path := range templates {
		name := filepath.Base(path)
		parts := strings.SplitN(text(t, ".github/ISSUE_TEMPLATE/"+name), "---\n", 3)
		if len(parts) != 3 || parts[0] != "" || strings.TrimSpace(parts[2]) == "" {
			t.Errorf("%s has no head, or nothing below it", name)
			continue
		}
		var head struct{ Name, About string }
		if err := yaml.Unmarshal([]byte(parts[1]), &head); err != nil || head.Name == "" || head.About == "" {
			t.Errorf("%s: %+v %v", name, head, err)
		}
	}
	var config map[string]any
	if err := yaml.Unmarshal([]byte(text(t, ".github/ISSUE_TEMPLATE/config.yml")), &config); err != nil {
		t.Error(err)
	}
}
