package consumer

import (
	"fmt"

	"gleaner/internal/pipeline"
)

// Unfit says why a model, as its server has it, cannot do what a run asks of it, and what to do
// then; nothing if it can, or if that is not known.
func Unfit(run pipeline.RunInfo, has pipeline.ModelInfo) string {
	needs := pipeline.Grouped(run.NumCtx)
	switch {
	case run.Think.IsAsked() && has.SaysThinks && !has.Thinks:
		return fmt.Sprintf("model %s cannot think, and run %s asks for it (--think %s): load the run with --think off, or with a model that can", has.Name, run.Run, run.Think)
	case has.Trained > 0 && has.Trained < run.NumCtx:
		return fmt.Sprintf("model %s has a context of %s tokens at most, and run %s needs %s (--num-ctx): load the run with less, or with another model", has.Name, pipeline.Grouped(has.Trained), run.Run, needs)
	case tooSmall(run, has):
		return fmt.Sprintf("model %s has a context of %s tokens here, and run %s needs %s (--num-ctx): start its server with `OLLAMA_CONTEXT_LENGTH=%d ollama serve`, or if the model's Modelfile says num_ctx, write `PARAMETER num_ctx %[5]d` there",
			has.Name, pipeline.Grouped(has.Context), run.Run, needs, run.NumCtx)
	}
	return ""
}

// tooSmall reports whether the context that a server gives a model is too small for a run.
func tooSmall(run pipeline.RunInfo, has pipeline.ModelInfo) bool {
	return has.Context > 0 && has.Context < run.NumCtx
}
