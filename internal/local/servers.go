package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"gleaner/internal/consumer"
	"gleaner/internal/ollama"
	"gleaner/internal/ollamasim"
	"gleaner/internal/pipeline"
)

// ServersConfig says which model servers to use.
type ServersConfig struct {
	URL      string // of an Ollama server that may be running
	Simulate bool   // use simulated servers, whatever answers there
	Fallback bool   // use simulated servers if no real one answers there, instead of an error
	Model    string // empty: the first that the server has, or the simulated one's default
	Slots    int    // of each GPU; 0: RealSlots, or the simulated server's default

	RealSlots int // that a real server is thought to have; 0: 1, as is Ollama's default

	NumCtx int // the context that a simulated server has at least

	Client ollama.Config // of the clients, but for their slots and for how long they wait for a token

	SimulatedGPUs  int     // simulated servers, one a GPU; at least 1
	SimulatedSpeed float64 // times faster than the estimate for a T4

	// NoPull makes a model that the server does not have an error that wraps ollama.ErrNoModel.
	NoPull bool
	// Pulling, which may be nil, is called while a missing model is pulled.
	Pulling func(status string, done, total int64)
}

// client configures the client of a server with this many slots. The consumer finds by itself that
// a token does not come.
func (cfg ServersConfig) client(slots int) ollama.Config {
	client := cfg.Client
	client.Slots, client.FirstToken, client.Stall = slots, consumer.ClientPatience, consumer.ClientPatience
	return client
}

// Servers are the model servers that were chosen. The caller has to call Close.
type Servers struct {
	GPUs      []consumer.LaneConfig
	URL       string // of the real server that was asked; empty if none was
	Model     string
	Slots     int // of each GPU
	Simulated bool
	Thinks    bool // the real server's model thinks by itself where nothing is said

	simulated []*ollamasim.Server
}

// Close stops the simulated servers.
func (s *Servers) Close() {
	for _, server := range s.simulated {
		server.Close()
	}
}

// ChooseServers returns the real Ollama server, with its model loaded, or the simulated ones that
// were asked for. If no real one answers the error is a *NoServerError.
func ChooseServers(ctx context.Context, cfg ServersConfig) (*Servers, error) {
	if cfg.Simulate {
		return simulate(cfg, "")
	}
	slots := max(cmp.Or(cfg.Slots, cfg.RealSlots), 1)
	client, err := reach(ctx, cfg, slots)
	var none *NoServerError
	if errors.As(err, &none) && cfg.Fallback {
		return simulate(cfg, none.URL)
	}
	if err != nil {
		return nil, err
	}
	s := &Servers{URL: client.URL(), Slots: slots}
	gpu, err := s.load(ctx, client, cfg)
	s.GPUs = []consumer.LaneConfig{gpu}
	return s, err
}

// reach returns a client of the real server. If none answers the error is a *NoServerError.
func reach(ctx context.Context, cfg ServersConfig, slots int) (*ollama.Client, error) {
	client, err := ollama.New(cfg.URL, cfg.client(slots))
	if err != nil {
		return nil, err
	}
	server, away := client.Identify(ctx)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case away != nil && pipeline.ClassOf(away) == pipeline.Fatal && !cfg.Fallback: // it answers, and says what is missing
		return nil, away
	case server.Simulated || away != nil:
		return nil, &NoServerError{client.URL(), server.Simulated, away}
	}
	return client, nil
}

// simulate starts simulated Ollama servers on free ports.
func simulate(cfg ServersConfig, asked string) (*Servers, error) {
	s := &Servers{
		URL: asked, Simulated: true,
		Model: cfg.simulatedModel(), Slots: cmp.Or(cfg.Slots, ollamasim.DefaultSlots),
	}
	context := max(ollamasim.DefaultContext, cfg.NumCtx)
	for i := range max(cfg.SimulatedGPUs, 1) {
		server := ollamasim.New(ollamasim.Config{Slots: s.Slots, Context: context, Models: []string{s.Model}, Speed: cfg.SimulatedSpeed, ChunkEvery: chunkEvery})
		s.simulated = append(s.simulated, server)
		url, err := server.Start("127.0.0.1:0")
		if err != nil {
			s.Close()
			return nil, err
		}
		client, err := ollama.New(url, cfg.client(s.Slots))
		if err != nil {
			s.Close()
			return nil, err
		}
		s.GPUs = append(s.GPUs, consumer.LaneConfig{Name: fmt.Sprintf("%s %d", simulatedGPU, i), Backend: client, Slots: s.Slots, Context: context})
	}
	return s, nil
}

// simulatedModel returns the name of the model that simulated servers have.
func (cfg ServersConfig) simulatedModel() string {
	return pipeline.SimulatedModel(cmp.Or(cfg.Model, ollamasim.DefaultModel))
}

// simulatedGPU begins the name of each simulated GPU.
const simulatedGPU = "simulated GPU"

// chunkEvery keeps many fast streams cheap.
const chunkEvery = 20 * time.Millisecond

// modelOf returns the model that was asked for, or the first that the server has.
func (cfg ServersConfig) modelOf(ctx context.Context, client *ollama.Client) (string, error) {
	models, err := client.Models(ctx)
	switch {
	case err != nil || cfg.Model != "":
		return cfg.Model, err
	case len(models) > 0:
		return models[0], nil
	case cfg.NoPull:
		return "", fmt.Errorf("the Ollama server %s: %w: it has none at all: run `ollama pull NAME` there", client.URL(), ollama.ErrNoModel)
	}
	return "", fmt.Errorf("the Ollama server %s has no model: name one to pull with --model, or use --simulate", client.URL())
}

// load loads the model on a server that is running, pulls it first if it is missing, and returns
// the server as one GPU.
func (s *Servers) load(ctx context.Context, client *ollama.Client, cfg ServersConfig) (consumer.LaneConfig, error) {
	var none consumer.LaneConfig
	var err error
	if s.Model, err = cfg.modelOf(ctx, client); err != nil {
		return none, err
	}
	if _, err := client.Describe(ctx, s.Model); errors.Is(err, ollama.ErrNoModel) && !cfg.NoPull {
		if err := client.Pull(ctx, s.Model, cfg.Pulling); err != nil {
			return none, err
		}
	} else if err != nil {
		return none, err
	}
	if err := client.WarmUp(ctx, s.Model); err != nil {
		return none, err
	}
	described, err := client.Describe(ctx, s.Model)
	if err != nil {
		return none, err
	}
	s.Thinks = described.SaysThinks && described.Thinks
	return consumer.LaneConfig{Name: strings.TrimPrefix(client.URL(), "http://"), Backend: client, Slots: s.Slots, Context: described.Context, Model: described}, nil
}
