// Package lanes makes the lanes of a consumer of Ollama servers: of those that run already, and of
// those that it starts, one on each GPU of this machine.
package lanes

import (
	"context"
	"fmt"
	"strings"

	"go.uber.org/zap"

	"gleaner/internal/consumer"
	"gleaner/internal/gpu"
	"gleaner/internal/ollama"
	"gleaner/internal/ollama/serve"
	"gleaner/internal/pipeline"
	"gleaner/internal/supervise"
)

// Clients returns a client of each address. One that stands there twice is a *pipeline.SpecError:
// it would count as two GPUs.
func Clients(urls []string, settings ollama.Config) ([]*ollama.Client, error) {
	var clients []*ollama.Client
	seen := map[string]bool{}
	for _, url := range urls {
		if len(urls) > 1 && strings.Contains(url, "@") && !strings.Contains(url, "://") { // the second half of a password with a comma looks like one
			return nil, &pipeline.SpecError{Field: "ollama", Problem: "one of the addresses has a user, but no http:// before it: a comma in a password is written %2C"}
		}
		client, err := ollama.New(strings.TrimSpace(url), settings)
		if err != nil {
			return nil, err
		}
		if seen[client.URL()] {
			return nil, &pipeline.SpecError{Field: "ollama", Problem: fmt.Sprintf("the Ollama server %s is named twice", client.URL())}
		}
		seen[client.URL()] = true
		clients = append(clients, client)
	}
	return clients, nil
}

// Running returns a lane of each server that runs already, with what the server said of its model,
// which has the same index. Slots is how many each has, or with auto at most uses.
func Running(servers []consumer.RunningServer, models []pipeline.ModelInfo, slots int, auto bool) []consumer.LaneConfig {
	lanes := make([]consumer.LaneConfig, len(servers))
	for i, server := range servers {
		lanes[i] = consumer.LaneConfig{
			Name: strings.TrimPrefix(server.URL, "http://"), Backend: server.Backend, Slots: slots, Auto: auto,
			Context: models[i].Context, Model: models[i],
		}
	}
	return lanes
}

// Reserve takes the GPUs that are wanted, as gpu.Find names them, for this process alone, and ends
// what an earlier one left there. The caller has to call release, also after an error.
func Reserve(ctx context.Context, wanted string, cfg serve.Config, log *zap.Logger) (reserved []*serve.Reservation, release func(), err error) {
	release = func() {
		for _, r := range reserved {
			if err := r.Release(); err != nil {
				log.Error("leaving a GPU", zap.Stringer("gpu", r.GPU), zap.Error(err))
			}
		}
	}
	devices, err := gpu.Find(ctx, wanted)
	if err != nil {
		return nil, release, err
	}
	for _, device := range devices {
		r, err := serve.Reserve(cfg, device)
		if err != nil {
			return reserved, release, err
		}
		reserved = append(reserved, r)
		log.Info("using a GPU", zap.Stringer("gpu", device), zap.String("uuid", device.UUID), zap.Int("memory_mib", device.MemoryMiB), zap.String("log", r.LogPath()))
		if r.Orphans > 0 {
			log.Warn("ended what an earlier consumer had left on the GPU", zap.Stringer("gpu", device), zap.Int("processes", r.Orphans))
		}
	}
	return reserved, release, nil
}

// Started returns a lane of each GPU, whose server the engine starts, with a context of this many
// tokens.
func Started(reserved []*serve.Reservation, tokens, slots int, auto bool) []consumer.LaneConfig {
	lanes := make([]consumer.LaneConfig, len(reserved))
	for i, r := range reserved {
		r.SetContext(tokens)
		lanes[i] = consumer.LaneConfig{Name: r.GPU.String(), Slots: slots, Auto: auto, Launch: func(ctx context.Context, slots int) (supervise.Server, error) {
			server, err := r.Launch(ctx, slots)
			if err != nil {
				return nil, err // a nil *serve.Server would be a Server that is not nil
			}
			return server, nil
		}}
	}
	return lanes
}
