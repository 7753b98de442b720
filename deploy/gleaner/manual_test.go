package main

import (
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"gleaner/internal/cli"
)

// said runs the program in this process and returns its exit code and what it prints.
func said(t *testing.T, args ...string) (code int, out, talk string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = cli.Run(t.Context(), "gleaner", description, &commands{}, args, &cli.Terminal{In: strings.NewReader(""), Out: &stdout, Err: &stderr})
	return code, stdout.String(), stderr.String()
}

// grammar returns a parser of all commands.
func grammar(t *testing.T) *kong.Kong {
	t.Helper()
	parser, err := kong.New(&commands{}, kong.Vars{"first_token": "1s", "stall": "1s"}, kong.Exit(func(int) {}))
	if err != nil {
		t.Fatal(err)
	}
	return parser
}

// The help of each command has what it needs, and examples that are commands.
func TestEveryCommandHasExamplesThatAreCommands(t *testing.T) {
	t.Setenv("MONGODB_URI", "sqlite:store.db")
	t.Setenv("NATS_URL", "nats://127.0.0.1:4222")
	for _, node := range grammar(t).Model.Leaves(true) {
		var verb []string
		for n := node; n.Parent != nil; n = n.Parent {
			verb = append([]string{n.Name}, verb...)
		}
		code, out, talk := said(t, append([]string{"help"}, verb...)...)
		if code != 0 || talk != "" || !strings.Contains(out, "\nNeeds ") || !strings.Contains(strings.Join(strings.Fields(out), " "), "Exit codes of all commands: 0 done") {
			t.Errorf("help %v: exit code %d, on standard error %q:\n%s", verb, code, talk, out)
		}
		_, after, _ := strings.Cut(out, "\nExamples:\n")
		examples := 0
		for line := range strings.Lines(after) {
			example, ok := strings.CutPrefix(line, "    gleaner ")
			if !ok {
				continue
			}
			examples++
			if _, err := grammar(t).Parse(strings.Fields(example)); err != nil {
				t.Errorf("the example of %v, %q: %v", verb, example, err)
			}
		}
		if examples == 0 {
			t.Errorf("the help of %v has no example:\n%s", verb, out)
		}
	}
	if code, _, talk := said(t, "help", "statsu"); code != cli.WrongUse || !strings.Contains(talk, `did you mean "status"`) {
		t.Errorf("help of a command that is not there: exit code %d, %q", code, talk)
	}
}

func TestCommandLinesAreCompleted(t *testing.T) {
	for line, want := range map[string]string{
		"st":                            "status",
		"dead ":                         "list show redrive drop give-up",
		"dead redrive --class t":        "truncated too-large",
		"export --layout a":             "alpaca",
		"run --samp":                    "--samples",
		"run --input train.jsonl --fie": "--field",
		"run --input ":                  "", // a file, which the shell completes
		"run --skip-bad --input-w":      "--input-where",
		"completion ":                   "bash zsh fish",
		"help":                          "",
	} {
		words := strings.Split(line, " ")
		got := cli.Complete(grammar(t), words).Words
		if strings.Join(got, " ") != want {
			t.Errorf("%q goes on with %q, want %q", line, got, want)
		}
	}
}

// Bash itself asks the program by the script that it prints.
func TestBashCompletesCommandLines(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal(err)
	}
	_, script, _ := said(t, "completion", "bash")
	// The program is played by a function that says what it was asked.
	out, err := exec.Command(bash, "-c", script+`
gleaner() { printf '%s\n' "$@" ; }
COMP_WORDS=(gleaner dead list --run "a b"); COMP_CWORD=4
_gleaner
printf '<%s>' "${COMPREPLY[@]}"`).CombinedOutput()
	if got := string(out); err != nil || got != "<complete><--><dead><list><--run><a b>" {
		t.Errorf("%v: %s", err, got)
	}
	for _, shell := range []string{"zsh", "fish"} {
		if code, script, _ := said(t, "completion", shell); code != 0 || !strings.Contains(script, "gleaner complete -- ") {
			t.Errorf("%s: exit code %d\n%s", shell, code, script)
		}
	}
	if code, _, talk := said(t, "completion", "tcsh"); code != cli.WrongUse || !slices.Contains(strings.Fields(talk), "zsh") {
		t.Errorf("another shell: exit code %d, %q", code, talk)
	}
}
