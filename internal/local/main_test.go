package local_test

import (
	"flag"
	"os"
	"sync"
	"testing"

	"gleaner/internal/cli/processtest"
)

// Most of these tests mostly wait, so more of them run at once than the machine has cores.
func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", "8"); err != nil {
			panic(err)
		}
	}
	os.Exit(func() int {
		defer func() { _ = os.RemoveAll(builtDir) }()
		return m.Run()
	}())
}

var (
	builtDir  string
	buildOnce = sync.OnceValue(func() (err error) {
		if builtDir, err = os.MkdirTemp("", "gleaner-programs-"); err != nil {
			return err
		}
		return processtest.Build(builtDir)
	})
)

// build returns the programs, which are built once for all tests, to be run with a store.
func build(t testing.TB, uri string) *programs {
	t.Helper()
	if err := buildOnce(); err != nil {
		t.Fatal(err)
	}
	return &programs{t: t, dir: builtDir, uri: uri, env: append(os.Environ(), "MONGODB_URI="+uri)}
}
