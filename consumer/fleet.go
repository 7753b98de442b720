package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"go.uber.org/zap"

	"gleaner/internal/cli"
	"gleaner/internal/consumer"
	"gleaner/internal/gpu"
	"gleaner/internal/ollama"
	"gleaner/internal/ollama/serve"
	"gleaner/internal/supervise"
)

// fleet holds the flags that are for servers that the consumer runs itself.
type fleet struct {
	GPUs      string `name:"gpus" default:"none" placeholder:"auto|0,1|none" help:"GPUs of this machine to run an Ollama server on, one each, as nvidia-smi numbers them. none: the servers of --ollama run already. Linux only."`
	OllamaBin string `name:"ollama-bin" default:"ollama" placeholder:"PATH" help:"With --gpus: the ollama program."`
	Models    string `placeholder:"DIR" help:"With --gpus: where the models lie. Default: where Ollama has them, or OLLAMA_MODELS."`
	ModelFile string `name:"model-file" placeholder:"GGUF" help:"With --gpus: create the run's model from this file if it is not there, instead of pulling it."`
	Context   int    `default:"4096" help:"With --gpus: tokens of prompt and answer together. Each slot takes memory for so many."`
	AllowCPU  bool   `name:"allow-cpu" help:"With --gpus: serve also where the model is not wholly in the GPU's memory. For tests: that is many times slower."`
}

func (f *fleet) wanted() bool { return f.GPUs != "none" }

// AfterApply is called by kong. It is no use to name servers and to start them, too; a variable
// may be set for others.
func (c *command) AfterApply(parsed *kong.Context) error {
	for _, p := range parsed.Path {
		if p.Flag != nil && p.Flag.Name == "ollama" && !p.Resolved && c.wanted() {
			return errors.New("--gpus starts servers and --ollama names running ones: give one of them")
		}
	}
	return nil
}

// seats takes the GPUs that are wanted, for this process alone, and ends what one before it left
// there. The caller has to call release.
func (c *command) seats(ctx context.Context, log *zap.Logger) (seats []*serve.Reservation, release func(), err error) {
	release = func() {
		for _, seat := range seats {
			if err := seat.Release(); err != nil {
				log.Error("leaving a GPU", zap.Stringer("gpu", seat.GPU), zap.Error(err))
			}
		}
	}
	devices, err := gpu.Find(ctx, c.GPUs)
	if err != nil {
		return nil, release, err
	}
	cfg := serve.Config{
		Bin: c.OllamaBin, Models: c.Models, ModelFile: c.ModelFile, Context: c.Context,
		// The supervisor notices first when nothing comes from a server, and takes all requests from
		// it.
		Client: ollama.Config{NextToken: c.Stall + c.Stall/3, FirstToken: max(ollama.DefaultFirstToken, 2*c.Stall)},
	}
	for _, device := range devices {
		seat, err := serve.Reserve(cfg, device)
		if err != nil {
			release()
			return nil, func() {}, err
		}
		seats = append(seats, seat)
		log.Info("using a GPU", zap.Stringer("gpu", device), zap.String("uuid", device.UUID), zap.Int("memory_mib", device.MemoryMiB), zap.String("log", seat.LogPath()))
		if seat.Orphans > 0 {
			log.Warn("ended what an earlier consumer had left on the GPU", zap.Stringer("gpu", device), zap.Int("processes", seat.Orphans))
		}
	}
	return seats, release, nil
}

// fleetOf returns the GPUs whose servers the engine starts.
func (c *command) fleetOf(seats []*serve.Reservation) []consumer.LaneConfig {
	gpus := make([]consumer.LaneConfig, len(seats))
	for i, seat := range seats {
		gpus[i] = consumer.LaneConfig{Name: seat.GPU.String(), Slots: c.Slots.Most, Auto: c.Slots.Auto, Launch: func(ctx context.Context, slots int) (supervise.Server, error) {
			server, err := seat.Launch(ctx, slots)
			if err != nil {
				return nil, err // and no server at all, not one of a type that is nil
			}
			return server, nil
		}}
	}
	return gpus
}

// checkFlags refuses what makes no sense.
func (c *command) checkFlags() error {
	switch {
	case c.Stall < time.Second || c.Rest < time.Second:
		return cli.Usage("stall %s and rest %s have to be a second or more", c.Stall, c.Rest)
	case c.wanted() && c.Context < 1:
		return cli.Usage("context %d is not positive", c.Context)
	case !c.wanted() && (c.ModelFile != "" || c.Models != "" || c.AllowCPU):
		return cli.Usage("--models, --model-file and --allow-cpu are for servers that --gpus starts")
	case strings.TrimSpace(c.GPUs) == "":
		return cli.Usage("--gpus is auto, a list such as 0,1, or none")
	}
	return nil
}
