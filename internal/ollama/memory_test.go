package ollama_test

import (
	"errors"
	"testing"

	"gleaner/internal/ollama"
	"gleaner/internal/pipeline"
)

func TestLackOfMemoryIsToldFromACrash(t *testing.T) {
	for text, want := range map[string]struct{ memory, crash bool }{
		"model runner has unexpectedly stopped, this may be due to resource limitations or an internal error": {crash: true},
		"an error was encountered while running the model: CUDA error: out of memory":                         {memory: true, crash: true},
		"llama runner process has terminated: cudaMalloc failed: out of memory":                               {memory: true},
		"model requires more system memory (9.0 GiB) than is available (2.0 GiB)":                             {memory: true},
		"llama runner process has terminated: exit status 2":                                                  {},
	} {
		err := serve(t, ollama.Config{}, status(500, says(text))).WarmUp(t.Context(), "m")
		if pipeline.ClassOf(err) != pipeline.Retryable || errors.Is(err, pipeline.ErrMemory) != want.memory || errors.Is(err, pipeline.ErrRunnerCrashed) != want.crash {
			t.Errorf("%s: class %s, want %+v: %v", text, pipeline.ClassOf(err), want, err)
		}
	}
}
