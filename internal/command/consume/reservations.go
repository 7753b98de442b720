package consume

import (
	"fmt"

	"gleaner/internal/ollama/serve"
	"gleaner/internal/pipeline"
)

// started says how servers are started.
func (f *serverFlags) started() serve.Config {
	return serve.Config{Bin: f.OllamaBin, Models: f.Models, ModelFile: f.ModelFile, Client: f.client()}
}

// context returns the context of the servers that are started for a run.
func (f *serverFlags) context(run pipeline.RunInfo) (int, error) {
	switch {
	case f.Context == nil:
		return max(run.NumCtx, serve.DefaultContext), nil
	case *f.Context < run.NumCtx:
		return 0, fmt.Errorf("--context %d is less than run %s needs, which is %d (--num-ctx): leave it out, or give more", *f.Context, run.Run, run.NumCtx)
	}
	return *f.Context, nil
}
