package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"gleaner/internal/cli/clitest"
	"gleaner/internal/cli/jobfile"
)

func TestMain(m *testing.M) { clitest.Main(m, "gleaner", main) }

func TestScripts(t *testing.T) { clitest.Run(t) }

var update = flag.Bool("update", false, "write the flags that a job file may have")

// The smaller programs know from this list which keys of a file are for others.
func TestTheKeysOfAJobFileAreTheFlagsOfAllCommands(t *testing.T) {
	parser, err := kong.New(&commands{}, kong.Vars{"first_token": "1s", "stall": "1s"})
	if err != nil {
		t.Fatal(err)
	}
	want := jobfile.TakenBy(parser.Model)
	if *update {
		if err := os.WriteFile(filepath.FromSlash("../../internal/cli/jobfile/keys.txt"), []byte(strings.Join(want, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, jobfile.Keys()); diff != "" {
		t.Errorf("internal/cli/jobfile/keys.txt is not the flags of gleaner's commands; write it with go test ./deploy/gleaner -run KeysOfAJobFile -update (-want +got):\n%s", diff)
	}
}

// The page on what programs read has every command that prints JSON.
func TestEveryCommandThatPrintsJSONHasASchema(t *testing.T) {
	parser, err := kong.New(&commands{}, kong.Vars{"first_token": "1s", "stall": "1s"})
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.FromSlash("../../docs/json.md"))
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, leaf := range parser.Model.Leaves(false) {
		for _, flag := range leaf.Flags {
			if flag.Name != "json" {
				continue
			}
			count++
			if verb := strings.TrimPrefix(leaf.Path(), "gleaner.test "); !strings.Contains(string(page), "`gleaner "+verb+" ") {
				t.Errorf("docs/json.md does not have gleaner %s --json: add its type to internal/command/schemas_test.go and a line to that page", verb)
			}
		}
	}
	if count < 15 {
		t.Errorf("%d commands print JSON: is the flag still called json?", count)
	}
}
