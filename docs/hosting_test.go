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

// A tag is tested as a change is, and what task release builds is attached to it. Only what
// attaches may write.
func TestATagBecomesARelease(t *testing.T) {
	var workflow struct {
		On struct {
			Push *struct{ Tags, Branches []string }
		} `json:"true"`
		Permissions map[string]string
		Jobs        map[string]struct {
			Needs       string
			Permissions map[string]string
			Steps       []struct{ Run, Uses string }
		}
	}
	content := text(t, ".github/workflows/release.yml")
	if err := yaml.Unmarshal([]byte(content), &workflow); err != nil {
		t.Fatal(err)
	}
	if on := workflow.On.Push; on == nil || !slices.Equal(on.Tags, []string{"v*"}) || on.Branches != nil || strings.Contains(content, "pull_request") {
		t.Errorf("it runs on %+v", workflow.On)
	}
	runs := func(job string) (all []string) {
		for _, step := range workflow.Jobs[job].Steps {
			if step.Uses != "" && !strings.Contains(step.Uses, "@v") {
				t.Errorf("%s is of no certain version", step.Uses)
			}
			all = append(all, step.Run)
		}
		return all
	}
	if !slices.Contains(runs("test"), ".ci/run") || workflow.Jobs["attach"].Needs != "test" {
		t.Error("what is attached was not tested")
	}
	attaching := runs("attach")
	if !slices.Contains(attaching, "go tool task release") || !strings.Contains(attaching[len(attaching)-1], "gh release create \"$TAG\" dist/* ") {
		t.Errorf("what task release builds is not attached: %q", attaching)
	}
	if workflow.Permissions["contents"] != "read" || workflow.Jobs["test"].Permissions != nil || workflow.Jobs["attach"].Permissions["contents"] != "write" {
		t.Error("more than the attaching may write, or it may not")
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
