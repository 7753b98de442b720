package ollama_test

import (
	"testing"

	"gleaner/internal/ollama/ollamatest"
)

func TestARealServerPassesTheSuite(t *testing.T) {
	ollamatest.Run(t, ollamatest.Host(t), ollamatest.TinyModels())
}
