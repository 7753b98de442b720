package docs_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gleaner/internal/cli/processtest"
	"gleaner/internal/natsd"
	"gleaner/internal/needtest"
	"gleaner/internal/ollamasim"
	"gleaner/internal/ollamasim/disguisetest"
	"gleaner/internal/ollamasim/simtest"
)

// The programs, and the packages that they are built from.
var programs = map[string]string{
	"gleaner": "./deploy/gleaner", "producer": "./producer", "consumer": "./consumer", "sink": "./sink",
}

// built is where the programs are, once a test needs them. TestMain removes it.
var built = sync.OnceValues(build)

// folderEnv names the folder of the programs to TestMain.
const folderEnv = "GLEANER_DOCS_PROGRAMS"

func TestMain(m *testing.M) {
	code := m.Run()
	if dir := os.Getenv(folderEnv); dir != "" {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// build builds the programs as a release does, and returns their folder.
func build() (string, error) {
	dir, err := os.MkdirTemp("", "gleaner-docs")
	if err != nil {
		return "", err
	}
	command := exec.Command("go", "build", "-trimpath", "-o", dir+string(filepath.Separator))
	for _, folder := range programs {
		command.Args = append(command.Args, folder)
	}
	command.Dir = root
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := command.CombinedOutput(); err != nil {
		return "", errors.Join(fmt.Errorf("build the programs: %w\n%s", err, said), os.RemoveAll(dir))
	}
	return dir, os.Setenv(folderEnv, dir)
}

// bin returns the folder of the programs.
func bin(t *testing.T) string {
	t.Helper()
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// tasks returns the commands of Taskfile.yml by their names.
func tasks(t *testing.T) map[string]string {
	t.Helper()
	all, name := map[string]string{}, ""
	for line := range strings.Lines(text(t, "Taskfile.yml")) {
		line = strings.TrimRight(line, "\n")
		if match := regexp.MustCompile(`^  ([a-z-]+):\s*$`).FindStringSubmatch(line); match != nil {
			name = match[1]
			all[name] = ""
		}
		if match := regexp.MustCompile(`^    cmd: (.*)$`).FindStringSubmatch(line); match != nil && name != "" {
			all[name] = match[1]
		}
	}
	if all["test"] == "" || all["load"] == "" {
		t.Fatalf("Taskfile.yml is not understood: %v", all)
	}
	return all
}

// split splits a command as a shell does, as far as the pages need it.
func split(command string) (words []string) {
	for _, word := range regexp.MustCompile(`(?:'[^']*'|"[^"]*"|[^\s'"])+`).FindAllString(command, -1) {
		words = append(words, strings.NewReplacer("'", "", `"`, "").Replace(word))
	}
	return words
}

// Names of the files of a release, as the release tool gives them.
var (
	wheelFile   = regexp.MustCompile(`^\./gleaner_(llm|consumer)-\*\.whl$`)
	archiveFile = regexp.MustCompile(`^gleaner_\*_(linux|darwin|windows)_(amd64|arm64)\.(tar\.gz|zip)$`)
	inArchive   = regexp.MustCompile(`^\./gleaner_\*_[a-z]+_[a-z0-9]+/`)
)

// ofProgram returns the program that a command runs, and its arguments.
func ofProgram(t *testing.T, words []string) (program string, args []string, ok bool) {
	t.Helper()
	if len(words) == 0 {
		return "", nil, false
	}
	if name := inArchive.ReplaceAllString(words[0], ""); programs[name] != "" {
		return name, words[1:], true
	}
	if len(words) >= 3 && slices.Equal(words[:2], []string{"go", "run"}) {
		for name, folder := range programs {
			if words[2] == folder {
				return name, words[3:], true
			}
		}
	}
	if len(words) > 4 && slices.Equal(words[:4], []string{"go", "tool", "task", "-x"}) {
		words = slices.Delete(slices.Clone(words), 3, 4) // which ends with the code of the program
	}
	if len(words) > 3 && slices.Equal(words[:3], []string{"go", "tool", "task"}) {
		command := strings.ReplaceAll(tasks(t)[words[3]], "{{.CLI_ARGS}}", "")
		rest := words[4:]
		if len(rest) > 0 && rest[0] == "--" {
			rest = rest[1:]
		}
		if expanded := split(command); len(expanded) > 2 && expanded[1] == "run" {
			return ofProgram(t, slices.Concat(expanded, rest))
		}
	}
	return "", nil, false
}

// wrong says what is wrong with a command that is not run, or nothing: a program's command line is
// parsed by the program, and tests, tasks and packages have to be there.
func wrong(t *testing.T, command string) string {
	t.Helper()
	if one, other, ok := strings.Cut(command, " && "); ok {
		return cmp.Or(wrong(t, one), wrong(t, other))
	}
	words := split(command)
	for len(words) > 0 && regexp.MustCompile(`^[A-Z_]+=`).MatchString(words[0]) {
		words = words[1:] // a variable in front of the command
	}
	words = slices.DeleteFunc(words, func(w string) bool { return w == "…" })
	if program, args, ok := ofProgram(t, words); ok {
		return refused(t, program, args)
	}
	switch begin := strings.Join(words[:min(3, len(words))], " "); {
	case strings.HasPrefix(begin, "go test"):
		return noTest(t, words[2:])
	case begin == "go tool task" && len(words) > 3:
		if _, ok := tasks(t)[words[3]]; !ok {
			return "Taskfile.yml has no such task"
		}
		return ""
	case begin == "go tool task", strings.HasPrefix(begin, "export "):
		return ""
	case begin == "pip install "+words[len(words)-1] && wheelFile.MatchString(words[2]),
		begin == "tar -xzf "+words[len(words)-1] && archiveFile.MatchString(words[2]):
		return ""
	case strings.HasPrefix(begin, "go build"):
		return noPackage(words[len(words)-1])
	case begin == ".ci/run":
		return noPackage("./.ci")
	}
	return "nothing checks this command"
}

// refused says why a program does not take a command line.
func refused(t *testing.T, program string, args []string) string {
	t.Helper()
	return processtest.Refuses(t, filepath.Join(bin(t), program), args)
}

func noPackage(folder string) string {
	if _, err := os.Stat(filepath.Join(root, strings.TrimSuffix(folder, "/..."))); err != nil {
		return err.Error()
	}
	return ""
}

// noTest says which package of a go test command is not there, or that none of its tests is meant
// by -run.
func noTest(t *testing.T, words []string) string {
	t.Helper()
	pattern := ""
	var names []string
	for i := 0; i < len(words); i++ {
		if words[i] == "-run" && i+1 < len(words) {
			i++
			pattern = words[i]
			continue
		}
		folder := filepath.Join(root, strings.TrimSuffix(words[i], "/..."))
		files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
		if err != nil || len(files) == 0 {
			return words[i] + " has no tests"
		}
		for _, file := range files {
			for name := range declared(t, file) {
				if strings.HasPrefix(name, "Test") {
					names = append(names, name)
				}
			}
		}
	}
	meant, err := regexp.Compile(pattern)
	if err != nil {
		return err.Error()
	}
	if !slices.ContainsFunc(names, meant.MatchString) {
		return "no test is called " + pattern
	}
	return ""
}

func TestTheCheckOfCommandsBites(t *testing.T) {
	for command, isWrong := range map[string]bool{
		"gleaner run --nonsense": true, "gleaner run --simulate": false, "gleaner nonsense": true,
		"go run ./deploy/gleaner run --samples many": true, "producer load --run a": false,
		"go tool task load -- --run a": false, "go tool task load -- --nonsense": true, "go tool task nonsense": true,
		"go test ./internal/pipeline -run Batch": false, "go test ./internal/pipeline -run Nonsense": true, "go test ./nonsense": true,
		"go tool task -x load -- --run a": false, "go tool task -x nonsense": true,
		"pip install ./gleaner_llm-*.whl && gleaner run": false, "pip install ./gleaner_llm-*.whl && gleaner rum": true,
		"pip install gleaner": true, "./gleaner_*_linux_amd64/gleaner run": false, "rm -rf /": true,
	} {
		if got := wrong(t, command) != ""; got != isWrong {
			t.Errorf("%s is wrong: %v, want %v (%s)", command, got, isWrong, wrong(t, command))
		}
	}
}

// Commands in the text, between backticks, are parsed by the real programs.
func TestEveryCommandInTheTextIsOneThatTheProgramTakes(t *testing.T) {
	isCommand := regexp.MustCompile(`^((gleaner|producer|consumer|sink) [a-z-]|go (run|test|tool task) |\.ci/run$)`)
	count := 0
	for _, page := range ownPages(t) {
		for _, match := range span.FindAllStringSubmatch(withoutBlocks(text(t, page)), -1) {
			if !isCommand.MatchString(match[1]) {
				continue
			}
			count++
			if problem := wrong(t, match[1]); problem != "" {
				t.Errorf("%s: %s: %s", page, match[1], problem)
			}
		}
	}
	t.Logf("%d commands", count)
}

// Every block of commands is run, page by page and in order, by the programs that are built from
// this module, with a NATS server, a store, a simulated Ollama and one that looks real for each
// page. Blocks that cannot be run say why, and every one of their commands is checked otherwise.
func TestEveryBlockOfCommandsRuns(t *testing.T) {
	bash := needtest.Tool(t, "bash")
	for _, page := range ownPages(t) {
		if page == firstHour {
			continue // TestTheFirstHour runs it
		}
		var ran, checked int
		t.Run(strings.ReplaceAll(page, "/", "_"), func(t *testing.T) {
			t.Parallel()
			var w *workplace
			for _, b := range blocks(t, page) {
				switch {
				case b.language == file:
					if w == nil {
						w = newWorkplace(t, bash)
					}
					name, _, _ := strings.Cut(strings.TrimPrefix(b.content, "# "), "\n")
					w.file(name, b.content, 0o644)
				case b.language != shell:
				case b.notRun != "":
					checked++
					t.Logf("%s is not run: %s", b.where(), b.notRun)
					for _, line := range b.lines() {
						if problem := wrong(t, line); problem != "" {
							t.Errorf("%s: %s: %s", b.where(), line, problem)
						}
					}
				default:
					ran++
					if w == nil {
						w = newWorkplace(t, bash)
					}
					w.run(b)
				}
			}
			if w != nil {
				w.end()
			}
			if ran+checked > 0 {
				t.Logf("%s: %d blocks run, %d checked", page, ran, checked)
			}
		})
	}
}

// A workplace is a folder that looks like a clone of the project, and what a page's commands find
// there.
type workplace struct {
	t    *testing.T
	bash string
	dir  string
	env  []string

	simulated string                 // where the simulated Ollama is, which stands for the one that a page starts
	beside    []*processtest.Process // commands that stay until the page is at its end
}

func newWorkplace(t *testing.T, bash string) *workplace {
	t.Helper()
	w := &workplace{t: t, bash: bash, dir: t.TempDir()}
	for _, name := range []string{"internal", "deploy", "docs", "go.mod", "Taskfile.yml"} {
		target, err := filepath.Abs(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, filepath.Join(w.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	w.file("train.jsonl", text(t, "internal/local/problems.jsonl"), 0o644)
	w.file("path/go", goCommand(t), 0o755)

	nats, err := natsd.Start(natsd.Config{Dir: t.TempDir(), Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nats.Shutdown)
	_, ollama := disguisetest.Start(t, ollamasim.Config{Models: []string{"mistral"}, Instant: true})
	_, w.simulated = simtest.Start(t, ollamasim.Config{Instant: true})
	w.env = append(os.Environ(),
		"PATH="+strings.Join([]string{filepath.Join(w.dir, "path"), bin(t), os.Getenv("PATH")}, string(filepath.ListSeparator)),
		"HOME="+w.dir, "NATS_URL="+nats.URL(), "OLLAMA_HOST="+ollama, "MONGODB_URI=sqlite:gleaner.db")
	return w
}

func (w *workplace) file(name, content string, mode os.FileMode) {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), mode)); err != nil {
		w.t.Fatal(err)
	}
}

// goCommand returns a script that stands in for the go command: it runs the programs that are
// built already, alone and as tasks, and nothing else.
func goCommand(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("#!/usr/bin/env bash\ncase \"$1 $2 $3\" in\n")
	for name, folder := range programs {
		fmt.Fprintf(&b, "\"run %s\"*) shift 2; exec %s \"$@\" ;;\n", folder, filepath.Join(bin(t), name))
	}
	for name, command := range tasks(t) {
		words := split(strings.ReplaceAll(command, "{{.CLI_ARGS}}", ""))
		if program, args, ok := ofProgram(t, words); ok {
			fmt.Fprintf(&b, "\"tool task %s\") shift 3; [ \"${1:-}\" != -- ] || shift; exec %s %s \"$@\" ;;\n", name, filepath.Join(bin(t), program), strings.Join(args, " "))
		}
	}
	task := split(tasks(t)["build"])
	for _, folder := range programs {
		if !slices.Contains(task, folder) {
			t.Errorf("go tool task build does not build %s", folder)
		}
	}
	b.WriteString("\"tool task build\") ;; # they are built\n*) echo \"go $* is not run here\" >&2; exit 97 ;;\nesac\n")
	return b.String()
}

// staysUntilStopped says of commands that they are for a terminal of their own.
func staysUntilStopped(t *testing.T, line string) bool {
	t.Helper()
	program, args, ok := ofProgram(t, split(line))
	if !ok || slices.Contains(args, "--help") || slices.Contains(args, "--version") {
		return false
	}
	first := ""
	if len(args) > 0 {
		first = args[0]
	}
	return program == "consumer" || program == "gleaner" && slices.Contains([]string{"work", "serve", "sink", "nats", "simulate"}, first) ||
		program == "sink" && first == "serve"
}

// run runs a block: what stays until it is stopped runs beside the commands that follow, as in a
// terminal of its own. What is exported holds until the end of the page.
func (w *workplace) run(b block) {
	w.t.Helper()
	var lines []string
	for _, line := range b.lines() {
		line = strings.ReplaceAll(line, simulatedAddress, w.simulated)
		if !staysUntilStopped(w.t, line) {
			lines = append(lines, line)
			continue
		}
		w.foreground(b, lines)
		lines = nil
		command := exec.CommandContext(w.t.Context(), w.bash, "-c", restore+"exec "+line)
		command.Dir, command.Env = w.dir, w.env
		w.beside = append(w.beside, processtest.Start(w.t, command))
	}
	w.foreground(b, lines)
	for _, match := range regexp.MustCompile(`--out ([\w.-]+)`).FindAllStringSubmatch(b.content, -1) {
		if info, err := os.Stat(filepath.Join(w.dir, match[1])); err != nil || info.Size() == 0 {
			w.t.Errorf("%s: nothing is in %s (%v)", b.where(), match[1], err)
		}
	}
}

// simulatedAddress is where the pages' simulated Ollama is, and other programs of this machine may
// be, too.
const simulatedAddress = "http://127.0.0.1:11411"

// restore takes over what earlier lines have exported.
const restore = "set -euo pipefail\nif [ -e exported ]; then . ./exported; fi\n"

// foreground runs lines one after the other, and fails if one of them does.
func (w *workplace) foreground(b block, lines []string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, w.bash, "-c", restore+strings.Join(lines, "\n")+"\nexport -p >exported\n")
	command.Dir, command.Env, command.WaitDelay = w.dir, w.env, 10*time.Second
	if said, err := command.CombinedOutput(); err != nil {
		for _, p := range w.beside {
			w.t.Logf("%s said\n%s", p.Cmd.Args[2], p.Said())
		}
		w.t.Fatalf("%s: %v\n%s\nsaid\n%s", b.where(), err, strings.Join(lines, "\n"), said)
	}
}

// end stops what runs beside. None of it may have failed.
func (w *workplace) end() {
	w.t.Helper()
	for _, p := range w.beside {
		p.Stops()
	}
}
