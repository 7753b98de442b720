package local

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gleaner/internal/consumer"
	"gleaner/internal/pipeline"
)

// tryWithin is how long a server may take to answer one token. What it does later the run meets.
const tryWithin = time.Minute

// RefuseUnfit returns an error if a server cannot do what a run asks of it, before anything is
// written: its model is asked for one token with the options that servers refuse.
func RefuseUnfit(ctx context.Context, run pipeline.Run, gpus []consumer.LaneConfig) error {
	options := run.Spec.Options
	info := pipeline.RunInfo{Run: run.Name, NumCtx: options.NumCtx, Think: options.Think}
	for _, gpu := range gpus {
		if gpu.Backend == nil {
			continue // its server is started later, and its lane says so then
		}
		if unfit := consumer.Unfit(info, gpu.Model); unfit != "" {
			return errors.New(unfit)
		}
		if !options.Think.IsAsked() && len(options.Schema) == 0 {
			continue
		}
		limited, cancel := context.WithTimeout(ctx, tryWithin)
		_, err := gpu.Backend.Generate(limited, pipeline.Request{Model: run.Spec.Model, Options: options}.Asking(pipeline.CanaryPrompt, 1))
		cancel()
		if err != nil && ctx.Err() == nil && pipeline.ClassOf(err) == pipeline.Fatal {
			return fmt.Errorf("the model server refuses what the run asks for: %w", err)
		}
	}
	return ctx.Err()
}
