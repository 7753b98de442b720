package ollamatest

import (
	"testing"

	"gleaner/internal/needtest"
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
	return needtest.Env(t, EnvHost, how)
}

// Bin returns the path of a real server's binary. Without one the test is skipped, or fails where
// CI is set.
func Bin(t testing.TB) string {
	t.Helper()
	return needtest.Env(t, EnvBin, how)
}

const how = ".ci/ollama.sh builds a real Ollama and prints what to set"
