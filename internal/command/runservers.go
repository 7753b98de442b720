package command

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"gleaner/internal/cli"
	"gleaner/internal/local"
	"gleaner/internal/ollama"
	"gleaner/internal/ollama/serve"
	"gleaner/internal/pipeline"
	"gleaner/internal/view"
)

// Words for answers that may not be taken for a model's.
const (
	madeUp      = "its answers are readable, made up, and mean nothing"
	madeUpAtEnd = "These answers are simulated: they are made up and mean nothing."
)

// serversConfig says which model servers to use.
func (c *RunLocal) serversConfig(progress *view.Progress) local.ServersConfig {
	realSlots, _ := strconv.Atoi(os.Getenv("OLLAMA_NUM_PARALLEL")) // what is no number counts as not set
	config := local.ServersConfig{
		URLs: c.Ollama, Simulate: c.Simulate, Fallback: !c.HasInput(), Model: strings.Join(c.Model, ""), NumCtx: c.NumCtx, Slots: c.Slots.Most, RealSlots: realSlots, SimulatedGPUs: c.SimGPUs, SimulatedSpeed: c.SimSpeed,
		Client: ollama.Config{AnswerLimit: c.AnswerLimit, Key: os.Getenv(ollama.EnvKey)},
		Pulling: func(what string, done, total int64) {
			progress.Transfer("pulling "+strings.Join(c.Model, "")+": "+what, done, total)
		},
	}
	if c.Slots.Auto {
		config.Slots = 0
	}
	if c.StartsServers() {
		config.GPUs, config.Start = c.GPUs, serve.Config{Bin: c.OllamaBin, Models: c.Models, ModelFile: c.ModelFile}
	}
	return config
}

// servers returns the model servers.
func (c *RunLocal) servers(ctx context.Context, progress *view.Progress, log *zap.Logger) (*local.Servers, error) {
	config := c.serversConfig(progress)
	config.Log = log
	servers, err := local.ChooseServers(ctx, config)
	progress.Clear()
	return servers, err
}

// sayServers says in plain words which servers generate.
func (c *RunLocal) sayServers(t *cli.Terminal, servers *local.Servers) {
	switch {
	case !servers.Simulated:
		fmt.Fprintln(t.Err, using(servers))
		if servers.Thinks && (c.Think == "" || c.Think == pipeline.ThinkAuto) {
			fmt.Fprintln(t.Err, "The model thinks before it answers, and its thinking is stored beside the answers: --think off for answers alone.")
		}
	case len(servers.URLs) > 0:
		fmt.Fprintf(t.Err, "This run is simulated, because no real Ollama answers at %s: %s.\n"+
			"Install Ollama and start it to get real ones.\n", servers.URLs[0], madeUp)
	default:
		fmt.Fprintf(t.Err, "This run is simulated: %s.\n", madeUp)
	}
}

// using says which real servers generate, and with how many slots.
func using(s *local.Servers) string {
	slots := view.Plural(s.Slots, "slot", "slots")
	if s.Auto {
		slots = fmt.Sprintf("up to %s: how many are fastest is measured at work", slots)
	}
	switch {
	case len(s.URLs) == 0:
		return fmt.Sprintf("Starting an Ollama server on %s for model %s, each with %s.", view.Plural(len(s.GPUs), "GPU", "GPUs"), s.Model, slots)
	case len(s.URLs) == 1:
		return fmt.Sprintf("Using the Ollama server at %s with model %s and %s.", s.URLs[0], s.Model, slots)
	}
	return fmt.Sprintf("Using the Ollama servers at %s with model %s, each with %s.", strings.Join(s.URLs, ", "), s.Model, slots)
}

// timeOver returns the error that says what the deadline left, nil if it left nothing.
func (c *RunLocal) timeOver(left int) error {
	if left == 0 {
		return nil
	}
	return &cli.Exit{Code: cli.Interrupted, Err: fmt.Errorf("the time of %s is over, and %s still to be generated: the same command goes on where it stopped",
		c.Because(), view.Plural(left, "answer is", "answers are"))}
}
