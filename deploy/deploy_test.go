// Package deploy_test checks every file below deploy that configures something other than Go:
// against its schema, against the real programs, and in real servers.
package deploy_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gleaner/internal/cli/processtest"
)

// programs is the folder with the real programs, built once.
func programs(t *testing.T) string {
	t.Helper()
	dir := os.Getenv(programsEnv)
	if dir == "" {
		t.Fatal("the programs are built in TestMain")
	}
	return dir
}

// programsEnv names the folder of the programs to the tests of this process.
const programsEnv = "GLEANER_TEST_PROGRAMS"

func TestMain(m *testing.M) { os.Exit(withPrograms(m.Run)) }

func withPrograms(run func() int) int {
	dir, err := os.MkdirTemp("", "gleaner-programs")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := errors.Join(processtest.Build(dir), os.Setenv(programsEnv, dir)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return run()
}

func text(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// settings reads a file of NAME=VALUE.
func settings(t *testing.T, path string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for line := range strings.Lines(text(t, path)) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			t.Fatalf("%s: %q is no setting", path, line)
		}
		all[name] = value
	}
	return all
}

// A folder of deployments has a README of about one page, which says what could not be tried, and
// links to what is there.
func TestEachFolderHasAPageThatSaysWhatWasTried(t *testing.T) {
	for _, folder := range []string{"atlas", "compose", "kaggle", "kubernetes", "synadia", "systemd"} {
		path := filepath.Join(folder, "README.md")
		page := text(t, path)
		if lines := strings.Count(page, "\n"); lines > 80 {
			t.Errorf("%s has %d lines: one page is enough", path, lines)
		}
		if !strings.Contains(page, "## Tried, and not") {
			t.Errorf("%s does not say what was tried", path)
		}
		for _, link := range regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(page, -1) {
			if strings.Contains(link[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(folder, strings.Split(link[1], "#")[0])); err != nil {
				t.Errorf("%s links to nothing: %v", path, err)
			}
		}
	}
}

// The images hold one program, certificates and nothing else, and run without root.
func TestTheImagesAreSmallAndWithoutRoot(t *testing.T) {
	const path = "compose/Dockerfile"
	file := text(t, path)
	stages := regexp.MustCompile(`(?m)^FROM (\S+) AS (\S+)$`).FindAllStringSubmatch(file, -1)
	var names []string
	for _, stage := range stages {
		names = append(names, stage[2])
		if stage[2] != "build" && stage[1] != "scratch" && stage[1] != "base" {
			t.Errorf("%s: stage %s stands on %s", path, stage[2], stage[1])
		}
	}
	if want := []string{"build", "base", "producer", "sink", "gleaner", "consumer"}; !slices.Equal(names, want) {
		t.Errorf("%s has the stages %v, want %v", path, names, want)
	}
	for line := range strings.Lines(strings.ReplaceAll(file, "\\\n", " ")) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if from, ok := strings.CutPrefix(rest, "--from="); word == "COPY" && ok && !slices.Contains(names, strings.Fields(from)[0]) {
			t.Errorf("%s: %q copies from no stage", path, line)
		}
		if word == "ENTRYPOINT" && !json.Valid([]byte(rest)) {
			t.Errorf("%s: %q needs a shell, which is not there", path, line)
		}
		if word == "FROM" && !regexp.MustCompile(`^(scratch|base|golang:[\d.]+-\w+) `).MatchString(rest) {
			t.Errorf("%s: %q is of no certain version", path, line)
		}
		if !slices.Contains([]string{"", "#", "FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "ENTRYPOINT"}, word) {
			t.Errorf("%s: %q is no instruction that belongs there", path, word)
		}
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(text(t, "../go.mod"))[1]
	for _, want := range []string{"golang:" + version + "-", "CGO_ENABLED=0", "ca-certificates.crt", "USER 65532:65532"} {
		if !strings.Contains(file, want) {
			t.Errorf("%s has no %s", path, want)
		}
	}
	if !strings.Contains(text(t, path+".dockerignore"), "**/.env") {
		t.Error("a file with passwords can get into an image")
	}
}

// From the folder of a release the images take the programs that lie there: what the build runs is
// run here by a shell.
func TestTheImagesTakeTheProgramsOfARelease(t *testing.T) {
	file := strings.ReplaceAll(text(t, "compose/Dockerfile"), "\\\n", " ")
	run := regexp.MustCompile(`(?m)^RUN (?:--\S+ +)*(.+)$`).FindAllStringSubmatch(file, -1)
	if len(run) != 1 {
		t.Fatalf("the Dockerfile runs %q", run)
	}
	dir := t.TempDir()
	programs := []string{"consumer", "gleaner", "producer", "sink"}
	for _, name := range programs {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	shell := exec.CommandContext(t.Context(), "sh", "-euc", strings.ReplaceAll(run[0][1], "/out", "out"))
	shell.Dir = dir
	if said, err := shell.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	for _, name := range programs {
		if data, err := os.ReadFile(filepath.Join(dir, "out", name)); err != nil || string(data) != name {
			t.Errorf("%s is %q, %v", name, data, err)
		}
		if !strings.Contains(file, "/out/"+name+" /"+name) || !strings.Contains(run[0][1], "./"+name) && name != "gleaner" {
			t.Errorf("%s is not built, or in no image", name)
		}
	}
}
