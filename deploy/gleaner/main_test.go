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
