// Package clitest runs the scripts that test the programs as a user sees them: each with a NATS
// server, a simulated Ollama and a store of its own.
package clitest

import (
	"errors"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"gleaner/internal/natsd"
	"gleaner/internal/ollamasim"
	"gleaner/internal/ollamasim/disguisetest"
)

// Main runs the tests of a program; scripts know it by its name.
func Main(m *testing.M, name string, main func()) {
	testscript.Main(m, map[string]func(){name: main})
}

// Run runs testdata/*.txtar. Scripts find servers of their own in NATS_URL and OLLAMA_HOST
// (with the simulated models sim, sim-loop and sim-endless), one that looks like a real Ollama with
// these models in REAL_OLLAMA, a store in MONGODB_URI, and an address where nothing listens in
// NO_SERVER. Besides the usual commands they have
//
//	exits CODE PROGRAM ARGS…
//
// which runs a program that has to end with this exit code, and
//
//	fits SCHEMA [FILE]
//
// which checks that each line of the last standard output, of stderr or of a file is JSON that fits
// docs/schemas/SCHEMA.json. Prepare is called with the URL of
// each script's NATS server.
func Run(t *testing.T, prepare ...func(natsURL string) error) {
	testscript.Run(t, testscript.Params{
		Dir:      "testdata",
		Deadline: time.Now().Add(8 * time.Minute), // of all scripts: a program that hangs is shown with what it said
		Setup: func(env *testscript.Env) error {
			if err := setup(env); err != nil {
				return err
			}
			for _, f := range prepare {
				if err := f(env.Getenv("NATS_URL")); err != nil {
					return err
				}
			}
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"exits": exits, "fits": fits},
	})
}

func setup(env *testscript.Env) error {
	nats, err := natsd.Start(natsd.Config{Dir: filepath.Join(env.WorkDir, ".nats"), Port: -1})
	if err != nil {
		return err
	}
	env.Defer(nats.Shutdown)
	ollama := ollamasim.New(ollamasim.Config{Models: []string{"sim", "sim-loop", "sim-endless"}, Instant: true})
	url, err := ollama.Start("127.0.0.1:0")
	if err != nil {
		return err
	}
	env.Defer(ollama.Close)
	looksReal := httptest.NewServer(disguisetest.Handler(ollama))
	env.Defer(looksReal.Close)
	env.Setenv("REAL_OLLAMA", looksReal.URL)
	env.Setenv("NO_SERVER", "127.0.0.1:1")     // no process that asks for a free port gets this one
	env.Setenv("GORACE", "atexit_sleep_ms=10") // with the race detector each of hundreds of programs would wait a second at its end
	env.Setenv("HOME", env.WorkDir)
	env.Setenv("NATS_URL", nats.URL())
	env.Setenv("OLLAMA_HOST", url)
	env.Setenv("MONGODB_URI", "sqlite:"+filepath.Join(env.WorkDir, "store.db"))
	return nil
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}
