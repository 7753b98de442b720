package local

import (
	"context"
	"errors"

	"gleaner/internal/export"
	"gleaner/internal/ollama"
	"gleaner/internal/producer"
)

// Checked is what Run would begin with.
type Checked struct {
	producer.Preflight
	Export export.Config // with where the dataset goes
	Names  export.Names  // of its columns
}

// Check does all that Run does before it makes anything: no folder, no store, no queue.
func Check(ctx context.Context, cfg Config) (Checked, error) {
	checked, names, err := preflight(ctx, &cfg)
	return Checked{checked, cfg.Export, names}, err
}

// A Choice is the model that a run would have.
type Choice struct {
	Model     string // empty: a server chooses it, and none answers
	Simulated bool
	How       string // in words
}

// ChooseModel returns the model that ChooseServers would take. Nothing is loaded or pulled, and no
// server has to answer.
func ChooseModel(ctx context.Context, cfg ServersConfig) (Choice, error) {
	if cfg.Simulate {
		return Choice{cfg.simulatedModel(), true, "simulated, as --simulate says"}, nil
	}
	if cfg.GPUs != "" && cfg.Model != "" {
		return Choice{Model: cfg.Model, How: "as asked for, on servers that are started here"}, nil
	}
	clients, err := reach(ctx, cfg, 1)
	var none *NoServerError
	switch {
	case errors.As(err, &none) && cfg.Fallback:
		return Choice{cfg.simulatedModel(), true, "simulated, because no real Ollama answers at " + none.URL}, nil
	case errors.As(err, &none) && none.Simulated:
		return Choice{}, err
	case errors.As(err, &none) && cfg.Model == "":
		return Choice{How: "the first that the server at " + none.URL + " has, and none answers there now"}, nil
	case errors.As(err, &none):
		return Choice{Model: cfg.Model, How: "as asked for; no server answers at " + none.URL + " now"}, nil
	case err != nil:
		return Choice{}, err
	}
	client, choice := clients[0], Choice{How: "as asked for"}
	if cfg.Model == "" {
		choice.How = "the first that the server at " + client.URL() + " has"
	}
	if choice.Model, err = cfg.modelOf(ctx, client); err != nil {
		return Choice{}, err
	}
	if _, err = client.Describe(ctx, choice.Model); errors.Is(err, ollama.ErrNoModel) {
		choice.How += "; the server at " + client.URL() + " does not have it, so it is pulled first"
		err = nil
	}
	return choice, err
}
