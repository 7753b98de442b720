package ollamatest

import (
	"os"
	"testing"
)

// The environment variables by which tests find a real Ollama. The script .ci/ollama.sh provides
// both.
const (
	EnvHost = "OLLAMA_TEST_HOST" // the URL of a server that has the models of TinyModels
	EnvBin  = "OLLAMA_TEST_BIN"  // the path of an ollama binary, for servers that tests may kill
)

// Host returns the URL of a real server. Without one the test is skipped, or fails where CI is set.
func Host(t testing.TB) string {
	t.Helper()
	return fromEnv(t, EnvHost)
}

// Bin returns the path of a real server's binary. Without one the test is skipped, or fails where
// CI is set.
func Bin(t testing.TB) string {
	t.Helper()
	return fromEnv(t, EnvBin)
}

func fromEnv(t testing.TB, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value != "" {
		return value
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is not set, but CI is: run .ci/ollama.sh and set what it prints", name)
	}
	t.Skipf("SKIPPED, not tested against a real Ollama: %s is not set; .ci/ollama.sh builds a server and prints what to set", name)
	return ""
}
