package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gleaner/internal/cli/processtest"
	"gleaner/internal/needtest"
)

// A line is a command line of one of the programs, and where it stands.
type line struct {
	where   string
	program string
	args    []string
}

// wrong says what the real program finds wrong with a command line, or nothing.
func (l line) wrong(t *testing.T) string {
	t.Helper()
	return processtest.Refuses(t, filepath.Join(programs(t), l.program), l.args)
}

func TestEveryCommandLineIsOneThatTheProgramTakes(t *testing.T) {
	lines := slices.Concat(inPages(t), inUnits(t), inCompose(t), inManifests(t))
	counts := map[string]int{}
	for _, l := range lines {
		counts[strings.Split(l.where, ":")[0]]++
		if problem := l.wrong(t); problem != "" {
			t.Errorf("%s: %s %s\n%s", l.where, l.program, strings.Join(l.args, " "), problem)
		}
	}
	for _, file := range []string{"atlas/README.md", "compose/README.md", "compose/compose.yaml", "kubernetes/run/producer.yaml", "synadia/README.md", "systemd/gleaner-serve.service"} {
		if counts[file] == 0 {
			t.Errorf("no command line was found in %s", file)
		}
	}
	t.Logf("%d command lines", len(lines))
}

// A check that lets everything pass would be worth nothing.
func TestTheCheckOfCommandLinesBites(t *testing.T) {
	for _, l := range []line{
		{"", "sink", []string{"serve", "--nonsense"}},
		{"", "producer", []string{"publish", "--window", "many"}},
		{"", "producer", []string{"nonsense"}},
		{"", "consumer", []string{"stray"}},
		{"", "gleaner", []string{"run", "--nonsense"}},
		{"", "gleaner", []string{"--input", "rows.jsonl"}},
	} {
		if l.wrong(t) == "" {
			t.Errorf("%s %v passes", l.program, l.args)
		}
	}
}

// inPages finds the command lines in the pages of this folder: in indented blocks and between
// backticks. The other pages of the project have a test in docs.
func inPages(t *testing.T) (all []line) {
	t.Helper()
	pages, err := filepath.Glob("*/README.md")
	if err != nil {
		t.Fatal(err)
	}
	span := regexp.MustCompile("`([^`]+)`")
	for _, page := range pages {
		for content := range strings.Lines(text(t, page)) {
			if code, indented := strings.CutPrefix(content, "    "); indented {
				all = append(all, inShell(page, strings.TrimSpace(code))...)
				continue
			}
			for _, code := range span.FindAllStringSubmatch(content, -1) {
				all = append(all, inShell(page, code[1])...)
			}
		}
	}
	return all
}

// inShell finds the command lines in a line of shell.
func inShell(where, code string) (all []line) {
	code, _, _ = strings.Cut(code, "  #")
	for _, part := range regexp.MustCompile(`&&|;|\|`).Split(code, -1) {
		words := split(part)
		for len(words) > 0 && regexp.MustCompile(`^[A-Z_]+=`).MatchString(words[0]) {
			words = words[1:] // a variable in front of the command
		}
		if at := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, ">") }); at >= 0 {
			words = words[:at]
		}
		words = slices.DeleteFunc(words, func(w string) bool { return w == "…" })
		if l, ok := ofProgram(where, words); ok {
			all = append(all, l)
		}
	}
	return all
}

// ofProgram recognises the forms in which the programs are called.
func ofProgram(where string, words []string) (line, bool) {
	text := strings.Join(words, " ")
	for _, form := range []struct{ begin, program, command string }{
		{"go run ./deploy/gleaner ", "gleaner", ""}, {"go tool task demo -- ", "gleaner", "run"}, {"gleaner ", "gleaner", ""},
		{"go run ./producer ", "producer", ""}, {"go run ./consumer ", "consumer", ""}, {"go run ./sink ", "sink", ""},
		{"go tool task load -- ", "producer", "load"}, {"go tool task produce -- ", "producer", "publish"}, {"go tool task consume -- ", "consumer", ""},
		{"go tool task status -- ", "producer", "status"}, {"go tool task export -- ", "sink", "export"}, {"go tool task sink", "sink", "serve"},
		{"docker compose run --rm --no-deps producer ", "producer", ""},
		{"producer ", "producer", ""}, {"consumer ", "consumer", ""}, {"sink ", "sink", ""},
	} {
		if !strings.HasPrefix(text, form.begin) && text+" " != form.begin {
			continue
		}
		args := words[len(strings.Fields(form.begin)):]
		if form.command != "" {
			args = append([]string{form.command}, args...)
		}
		return line{where, form.program, args}, len(args) > 0
	}
	return line{}, false
}

// split splits a command as a shell does, as far as files here need it.
func split(command string) (words []string) {
	for _, word := range regexp.MustCompile(`'[^']*'|"[^"]*"|\S+`).FindAllString(command, -1) {
		words = append(words, strings.Trim(word, `'"`))
	}
	return words
}

func inUnits(t *testing.T) (all []line) {
	t.Helper()
	units, err := filepath.Glob("systemd/*.service")
	if err != nil || len(units) == 0 {
		t.Fatalf("units: %v %v", units, err)
	}
	for _, unit := range units {
		for _, start := range regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin/(\w+) (.*)$`).FindAllStringSubmatch(text(t, unit), -1) {
			all = append(all, line{unit, start[1], split(start[2])})
		}
	}
	return all
}

// The notebook gives the consumer no flag that it does not take: an argument of work is one.
func TestTheNotebookKnowsTheConsumersFlags(t *testing.T) {
	help, err := exec.CommandContext(t.Context(), filepath.Join(programs(t), "consumer"), "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, argument := range regexp.MustCompile(`\b([a-z_]+)=`).FindAllStringSubmatch(regexp.MustCompile(`work\((.*)\)`).FindString(text(t, "kaggle/team.ipynb")), -1) {
		flag := "--" + strings.ReplaceAll(strings.TrimSuffix(argument[1], "_"), "_", "-")
		if !regexp.MustCompile(flag + `\b`).Match(help) {
			t.Errorf("the consumer does not know %s", flag)
		}
	}
}

// Units are checked by systemd itself, which need not run here. Their programs and files need not
// be there.
func TestSystemdTakesTheUnits(t *testing.T) {
	analyze := needtest.Tool(t, "systemd-analyze")
	for _, name := range []string{"gleaner-serve.service", "gleaner-consumer.service"} {
		unit := text(t, filepath.Join("systemd", name))
		path := filepath.Join(t.TempDir(), name)
		unit = regexp.MustCompile(`/usr/local/bin/(gleaner|consumer) `).ReplaceAllString(unit, "/bin/true ")
		if err := os.WriteFile(path, []byte(unit), 0o644); err != nil {
			t.Fatal(err)
		}
		said, err := exec.CommandContext(t.Context(), analyze, "verify", path).CombinedOutput()
		// What it says is an unknown or wrong setting, which systemd would pass over.
		if err != nil || strings.Contains(string(said), name) {
			t.Errorf("%s: %v\n%s", name, err, said)
		}
		for _, want := range []string{"DynamicUser=yes", "NoNewPrivileges=yes", "ProtectSystem=strict", "EnvironmentFile=/etc/gleaner/", "LoadCredential=", "Restart=", "RestartPreventExitStatus=2"} {
			if !strings.Contains(unit, "\n"+want) {
				t.Errorf("%s has no %s", name, want)
			}
		}
	}
}
