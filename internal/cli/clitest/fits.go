package clitest

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

func fits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: fits SCHEMA [FILE]")
	}
	root, err := moduleRoot()
	ts.Check(err)
	schema, err := jsonschema.NewCompiler().Compile(filepath.Join(root, "docs", "schemas", args[0]+".json"))
	ts.Check(err)
	file := "stdout"
	if len(args) == 2 {
		file = args[1]
	}
	lines := 0
	for line := range strings.Lines(ts.ReadFile(file)) {
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
		if err != nil {
			ts.Fatalf("%s is no JSON: %v", strings.TrimSpace(line), err)
		}
		if err := schema.Validate(value); err != nil {
			ts.Fatalf("%s\n%v", strings.TrimSpace(line), err)
		}
		lines++
	}
	if lines == 0 {
		ts.Fatalf("there is nothing in %s", file)
	}
}

// moduleRoot returns the folder of the module, in which a test runs somewhere.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, missing := os.Stat(filepath.Join(dir, "go.mod")); missing == nil {
			return dir, nil
		}
		if filepath.Dir(dir) == dir {
			return "", os.ErrNotExist
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}
