package consume

import (
	"context"
	"fmt"

	"go.uber.org/zap"

	"gleaner/internal/consumer"
	"gleaner/internal/gpu"
	"gleaner/internal/ollama/serve"
	"gleaner/internal/pipeline"
	"gleaner/internal/supervise"
)

// reserve takes the GPUs that the flags name, for this process alone, and ends what an earlier one
// left there. The caller has to call release.
func (f *serverFlags) reserve(ctx context.Context, log *zap.Logger) (reserved []*serve.Reservation, release func(), err error) {
	release = func() {
		for _, r := range reserved {
			if err := r.Release(); err != nil {
				log.Error("leaving a GPU", zap.Stringer("gpu", r.GPU), zap.Error(err))
			}
		}
	}
	devices, err := gpu.Find(ctx, f.GPUs)
	if err != nil {
		return nil, release, err
	}
	cfg := serve.Config{
		Bin: f.OllamaBin, Models: f.Models, ModelFile: f.ModelFile,
		Client: f.client(),
	}
	for _, device := range devices {
		r, err := serve.Reserve(cfg, device)
		if err != nil {
			release()
			return nil, func() {}, err
		}
		reserved = append(reserved, r)
		log.Info("using a GPU", zap.Stringer("gpu", device), zap.String("uuid", device.UUID), zap.Int("memory_mib", device.MemoryMiB), zap.String("log", r.LogPath()))
		if r.Orphans > 0 {
			log.Warn("ended what an earlier consumer had left on the GPU", zap.Stringer("gpu", device), zap.Int("processes", r.Orphans))
		}
	}
	return reserved, release, nil
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

// lanesOf returns the lanes whose servers the engine starts, with this context.
func (f *serverFlags) lanesOf(reserved []*serve.Reservation, tokens int) []consumer.LaneConfig {
	lanes := make([]consumer.LaneConfig, len(reserved))
	for i, r := range reserved {
		r.SetContext(tokens)
		lanes[i] = consumer.LaneConfig{Name: r.GPU.String(), Slots: f.Slots.Most, Auto: f.Slots.Auto, Launch: func(ctx context.Context, slots int) (supervise.Server, error) {
			server, err := r.Launch(ctx, slots)
			if err != nil {
				return nil, err // a nil *serve.Server would be a Server that is not nil
			}
			return server, nil
		}}
	}
	return lanes
}
