package main

import (
	"context"
	"testing"

	"gleaner/internal/cli/clitest"
	"gleaner/internal/pipeline"
	"gleaner/internal/stream"
)

func TestMain(m *testing.M) { clitest.Main(m, "consumer", main) }

func TestScripts(t *testing.T) { clitest.Run(t, publishRuns) }

// publishRuns makes the runs words and ghost, whose models the simulated Ollama has and has not,
// and done, which is complete.
func publishRuns(natsURL string) error {
	ctx := context.Background()
	conn, err := stream.Connect(ctx, stream.Config{URL: natsURL})
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.Ensure(ctx); err != nil {
		return err
	}
	for name, model := range map[string]string{"words": "sim", "ghost": "no-such-model"} {
		run := pipeline.Run{Name: name, UID: name, Spec: pipeline.Spec{Model: pipeline.SimulatedModel(model), Simulated: true}}
		if err := conn.EnsureRun(ctx, run); err != nil {
			return err
		}
	}
	run := pipeline.Run{Name: "done", UID: "done", Spec: pipeline.Spec{Model: "simulated/sim", Simulated: true}}
	if err := conn.EnsureRun(ctx, run); err != nil {
		return err
	}
	return conn.CompleteRun(ctx, run)
}
