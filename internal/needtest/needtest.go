// Package needtest skips tests for lack of what a machine may not have, and fails them where CI is
// set: there nothing is skipped unseen.
package needtest

import (
	"os"
	"os/exec"
	"testing"
)

// Skip ends a test that lacks something; the text says what, and how to provide it. Where the
// environment variable CI is set the test fails instead.
func Skip(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("CI is set, so this test may not be skipped: "+format, args...)
	}
	t.Skipf("SKIPPED: "+format, args...)
}

// Env returns the value of an environment variable that says where something is, or ends the test
// as Skip does; how says how to get it.
func Env(t testing.TB, name, how string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		Skip(t, "%s is not set: %s", name, how)
	}
	return value
}

// Tool returns the path of a program, or ends the test as Skip does.
func Tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Skip(t, "%v: install it", err)
	}
	return path
}
