package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/cli"
	"gleaner/internal/consumer"
	"gleaner/internal/lanes"
	"gleaner/internal/ollama"
	"gleaner/internal/ollama/serve"
	"gleaner/internal/ollamasim"
	"gleaner/internal/pipeline"
)

// ServersConfig says which model servers to use.
type ServersConfig struct {
	URLs     []string // of Ollama servers that may be running, one a GPU
	Simulate bool     // use simulated servers, whatever answers there
	Fallback bool     // use simulated servers if no real one answers there, instead of an error
	Model    string   // empty: the first that the server has, or the simulated one's default
	Slots    int      // of each GPU; 0: found at work, or the simulated server's default

	RealSlots int // that a real server has at most, where the number is found at work; 0: cli.MaxAutoSlots

	GPUs  string       // to start a real server on, one each, as gpu.Find names them; empty: those of URLs run
	Start serve.Config // of those that are started
	Log   *zap.Logger  // nil: nothing is logged

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

// slots returns how many generations at a time a real server gets, at most if the number is found
// at work.
func (cfg ServersConfig) slots() (most int, auto bool) {
	if cfg.Slots > 0 {
		return cfg.Slots, false
	}
	most = cmp.Or(cfg.RealSlots, cli.MaxAutoSlots)
	return most, most > 1
}

// Servers are the model servers that were chosen. The caller has to call Close.
type Servers struct {
	GPUs      []consumer.LaneConfig
	URLs      []string // of the real servers that were asked; empty if none was
	Model     string
	Slots     int  // of each GPU, at most if Auto
	Auto      bool // how many are fastest is found at work
	Simulated bool
	Thinks    bool // the real server's model thinks by itself where nothing is said

	simulated []*ollamasim.Server
	release   func() // the GPUs; nil: there are none
}

// Close stops the simulated servers, and leaves the GPUs.
func (s *Servers) Close() {
	if s.release != nil {
		s.release()
	}
	for _, server := range s.simulated {
		server.Close()
	}
}

// ChooseServers returns the real Ollama servers, with the model loaded, the GPUs on which they are
// started, or the simulated ones that were asked for. If a real one does not answer the error is a
// *NoServerError.
func ChooseServers(ctx context.Context, cfg ServersConfig) (*Servers, error) {
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	switch {
	case cfg.Simulate:
		return simulate(cfg, nil)
	case cfg.GPUs != "":
		return reserve(ctx, cfg)
	}
	most, auto := cfg.slots()
	clients, err := reach(ctx, cfg, most)
	var none *NoServerError
	if errors.As(err, &none) && cfg.Fallback {
		return simulate(cfg, []string{none.URL})
	}
	if err != nil {
		return nil, err
	}
	s := &Servers{Slots: most, Auto: auto}
	return s, s.load(ctx, clients, cfg)
}

// reach returns a client of each real server. If one does not answer the error is a *NoServerError.
func reach(ctx context.Context, cfg ServersConfig, slots int) ([]*ollama.Client, error) {
	clients, err := lanes.Clients(cfg.URLs, cfg.client(slots))
	if err != nil {
		return nil, err
	}
	for _, client := range clients {
		server, away := client.Identify(ctx)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case away != nil && pipeline.ClassOf(away) == pipeline.Fatal && !cfg.Fallback: // it answers, and says what is missing
			return nil, away
		case server.Simulated || away != nil:
			return nil, &NoServerError{client.URL(), server.Simulated, away}
		}
	}
	return clients, nil
}

// reserve takes the GPUs. Their servers are started when the run begins.
func reserve(ctx context.Context, cfg ServersConfig) (*Servers, error) {
	if cfg.Model == "" {
		return nil, &pipeline.SpecError{Field: "model", Problem: "with --gpus the servers are started for the run, so it has to be named: add --model NAME, such as --model qwen2.5:3b"}
	}
	most, auto := cfg.slots()
	s := &Servers{Model: cfg.Model, Slots: most, Auto: auto}
	cfg.Start.Client = cfg.client(most)
	reserved, release, err := lanes.Reserve(ctx, cfg.GPUs, cfg.Start, cfg.Log)
	if s.release = release; err != nil {
		s.Close()
		return nil, err
	}
	s.GPUs = lanes.Started(reserved, max(cfg.NumCtx, serve.DefaultContext), most, auto)
	return s, nil
}

// simulate starts simulated Ollama servers on free ports.
func simulate(cfg ServersConfig, asked []string) (*Servers, error) {
	s := &Servers{
		URLs: asked, Simulated: true,
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

// load loads the model on servers that are running, pulls it first where it is missing, and takes
// each server as one GPU. All have to have the same weights under its name.
func (s *Servers) load(ctx context.Context, clients []*ollama.Client, cfg ServersConfig) (err error) {
	if s.Model, err = cfg.modelOf(ctx, clients[0]); err != nil {
		return err
	}
	var running []consumer.RunningServer
	for _, client := range clients {
		s.URLs = append(s.URLs, client.URL())
		running = append(running, consumer.RunningServer{URL: client.URL(), Backend: client})
		if _, err := client.Describe(ctx, s.Model); errors.Is(err, ollama.ErrNoModel) && !cfg.NoPull {
			if err := client.Pull(ctx, s.Model, cfg.Pulling); err != nil {
				return err
			}
		} else if err != nil {
			return err
		}
	}
	models, err := consumer.LoadModel(ctx, running, s.Model)
	if err != nil {
		return err
	}
	for i, model := range models[1:] {
		if a, b := models[0].Digest, model.Digest; a != "" && b != "" && a != b {
			return fmt.Errorf("model %s is %s on %s and %s on %s, and a run takes answers of one: run `ollama pull %[1]s` on both, or leave one out of --ollama",
				s.Model, pipeline.ShortDigest(a), s.URLs[0], pipeline.ShortDigest(b), s.URLs[i+1])
		}
	}
	s.Thinks = models[0].SaysThinks && models[0].Thinks
	s.GPUs = lanes.Running(running, models, s.Slots, s.Auto)
	return nil
}
