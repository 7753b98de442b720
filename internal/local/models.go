package local

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"gleaner/internal/consumer"
	"gleaner/internal/ollama"
	"gleaner/internal/ollamasim"
)

// Simulated is how the simulated Ollama is set up.
type Simulated struct {
	GPUs  int
	Slots int     // of each GPU
	Speed float64 // times faster than the estimate for a T4
}

// Start starts simulated Ollama servers on free ports and returns them as GPUs, and a function
// that stops them.
func (s Simulated) Start(model string) (gpus []consumer.LaneConfig, stop func(), err error) {
	var servers []*ollamasim.Server
	stop = func() {
		for _, server := range servers {
			server.Close()
		}
	}
	for i := range s.GPUs {
		server := ollamasim.New(ollamasim.Config{Slots: s.Slots, Models: []string{model}, Speed: s.Speed, ChunkEvery: chunkEvery})
		servers = append(servers, server)
		url, err := server.Start("127.0.0.1:0")
		if err != nil {
			stop()
			return nil, nil, err
		}
		client, err := ollama.New(url, ollama.Config{Slots: s.Slots})
		if err != nil {
			stop()
			return nil, nil, err
		}
		gpus = append(gpus, consumer.LaneConfig{Name: fmt.Sprintf("simulated GPU %d", i), Backend: client, Slots: s.Slots, Context: ollamasim.DefaultContext})
	}
	return gpus, stop, nil
}

// chunkEvery keeps many fast streams cheap.
const chunkEvery = 20 * time.Millisecond

// Real loads a model on an Ollama server that is running, pulls it first if it is missing, and
// returns the server as one GPU. Without a model's name it takes the first one that is there.
// Progress gets what a pull says.
func Real(ctx context.Context, client *ollama.Client, model string, slots int, progress func(status string, done, total int64)) (gpu consumer.LaneConfig, name string, err error) {
	models, err := client.Models(ctx)
	if err != nil {
		return consumer.LaneConfig{}, "", err
	}
	if model == "" && len(models) == 0 {
		return consumer.LaneConfig{}, "", fmt.Errorf("the Ollama server %s has no model: name one to pull with --model, or use --simulate", client.URL())
	}
	if model == "" {
		model = models[0]
	}
	if _, err := client.Describe(ctx, model); errors.Is(err, ollama.ErrNoModel) {
		if err := client.Pull(ctx, model, progress); err != nil {
			return consumer.LaneConfig{}, "", err
		}
	} else if err != nil {
		return consumer.LaneConfig{}, "", err
	}
	if err := client.WarmUp(ctx, model); err != nil {
		return consumer.LaneConfig{}, "", err
	}
	described, err := client.Describe(ctx, model)
	if err != nil {
		return consumer.LaneConfig{}, "", err
	}
	return consumer.LaneConfig{Name: strings.TrimPrefix(client.URL(), "http://"), Backend: client, Slots: slots, Context: described.Context}, model, nil
}
