package consume

import (
	"context"

	"go.uber.org/zap"

	"gleaner/internal/consumer"
	"gleaner/internal/ollama"
	"gleaner/internal/ollama/serve"
	"gleaner/internal/supervise"
)

// seats takes the GPUs that the flags name, for this process alone, and ends what an earlier one
// left there. The caller has to call release.
func (f *serverFlags) seats(ctx context.Context, log *zap.Logger) (seats []*serve.Seat, release func(), err error) {
	release = func() {
		for _, seat := range seats {
			if err := seat.Release(); err != nil {
				log.Error("leaving a GPU", zap.Stringer("gpu", seat.GPU), zap.Error(err))
			}
		}
	}
	gpus, err := serve.GPUs(ctx, f.GPUs)
	if err != nil {
		return nil, release, err
	}
	cfg := serve.Config{
		Bin: f.OllamaBin, Models: f.Models, ModelFile: f.ModelFile, Context: f.Context,
		// The supervisor notices first when nothing comes from a server, and takes all requests
		// from it.
		Client: ollama.Config{NextToken: f.Stall + f.Stall/3, FirstToken: max(ollama.DefaultFirstToken, 2*f.Stall)},
	}
	for _, gpu := range gpus {
		seat, err := serve.Claim(cfg, gpu)
		if err != nil {
			release()
			return nil, func() {}, err
		}
		seats = append(seats, seat)
		log.Info("using a GPU", zap.Stringer("gpu", gpu), zap.String("uuid", gpu.UUID), zap.Int("memory_mib", gpu.MemoryMiB), zap.String("log", seat.LogPath()))
		if seat.Orphans > 0 {
			log.Warn("ended what an earlier consumer had left on the GPU", zap.Stringer("gpu", gpu), zap.Int("processes", seat.Orphans))
		}
	}
	return seats, release, nil
}

// lanesOf returns the lanes whose servers the engine starts.
func (f *serverFlags) lanesOf(seats []*serve.Seat) []consumer.LaneConfig {
	lanes := make([]consumer.LaneConfig, len(seats))
	for i, seat := range seats {
		lanes[i] = consumer.LaneConfig{Name: seat.GPU.String(), Slots: f.Slots.Most, Auto: f.Slots.Auto, Launch: func(ctx context.Context, slots int) (supervise.Server, error) {
			server, err := seat.Launch(ctx, slots)
			if err != nil {
				return nil, err // a nil *serve.Server would be a Server that is not nil
			}
			return server, nil
		}}
	}
	return lanes
}
