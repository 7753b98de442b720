package consume

import (
	"context"

	"go.uber.org/zap"

	"gleaner/internal/consumer"
	"gleaner/internal/lanes"
	"gleaner/internal/ollama/serve"
	"gleaner/internal/pipeline"
)

// servers are what generates: servers that run already, or GPUs to run servers on.
type servers struct {
	running   []consumer.RunningServer
	reserved  []*serve.Reservation
	simulated bool // they only pretend to have models
	release   func()
}

// open finds the servers that the flags name, and returns once all that run already answer. The
// caller has to call release.
func (f *serverFlags) open(ctx context.Context, log *zap.Logger) (s servers, err error) {
	if f.StartsServers() {
		s.reserved, s.release, err = lanes.Reserve(ctx, f.GPUs, f.started(), log)
		if err != nil {
			s.release()
		}
		return s, err
	}
	s.release = func() {}
	if s.running, err = f.running(ctx, log); err != nil {
		return s, err
	}
	s.simulated, err = consumer.AreSimulated(ctx, s.running)
	return s, err
}

// running returns the servers that run already, all of which answer.
func (f *serverFlags) running(ctx context.Context, log *zap.Logger) ([]consumer.RunningServer, error) {
	clients, err := lanes.Clients(f.Ollama, f.client())
	if err != nil {
		return nil, err
	}
	var running []consumer.RunningServer
	for _, client := range clients {
		server := consumer.RunningServer{URL: client.URL(), Backend: client}
		if err := consumer.AwaitServer(ctx, server, log); err != nil {
			return nil, err
		}
		running = append(running, server)
	}
	return running, nil
}

// lanes returns the servers as the lanes of an engine, with what they say of themselves. On those
// that run already it loads the model.
func (f *serverFlags) lanes(ctx context.Context, servers servers, run pipeline.RunInfo) ([]consumer.LaneConfig, pipeline.Presence, error) {
	if f.StartsServers() {
		tokens, err := f.context(run)
		if err != nil {
			return nil, pipeline.Presence{}, err
		}
		return lanes.Started(servers.reserved, tokens, f.Slots.Most, f.Slots.Auto), pipeline.Presence{}, nil
	}
	models, err := consumer.LoadModel(ctx, servers.running, run.Model)
	if err != nil {
		return nil, pipeline.Presence{}, err
	}
	return lanes.Running(servers.running, models, f.Slots.Most, f.Slots.Auto),
		pipeline.Presence{ServerVersion: models[0].ServerVersion, Digest: models[0].Digest, Simulated: servers.simulated}, nil
}
