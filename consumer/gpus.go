package main

import (
	"context"
	"strings"

	"go.uber.org/zap"

	"gleaner/internal/cli"
	"gleaner/internal/consumer"
	"gleaner/internal/ollama"
	"gleaner/internal/ollama/serve"
	"gleaner/internal/pipeline"
)

// servers are what generates: clients to servers that run already, or GPUs to run servers on.
type servers struct {
	clients []*ollama.Client
	seats   []*serve.Reservation
	release func()
}

// servers finds them.
func (c *command) servers(ctx context.Context, log *zap.Logger) (s servers, err error) {
	if c.wanted() {
		s.seats, s.release, err = c.seats(ctx, log)
		return s, err
	}
	s.release = func() {}
	s.clients, err = c.clients(ctx, log)
	return s, err
}

// clients returns a client for each server, all of which answer.
func (c *command) clients(ctx context.Context, log *zap.Logger) ([]*ollama.Client, error) {
	var clients []*ollama.Client
	seen := map[string]bool{}
	for _, url := range c.Ollama {
		client, err := ollama.New(strings.TrimSpace(url), ollama.Config{Slots: c.Slots.Most, NextToken: c.Stall})
		if err != nil {
			return nil, err
		}
		if seen[client.URL()] {
			return nil, cli.Usage("the Ollama server %s stands there twice", client.URL())
		}
		seen[client.URL()] = true
		if err := consumer.AwaitServer(ctx, running(client), log); err != nil {
			return nil, err
		}
		clients = append(clients, client)
	}
	return clients, nil
}

// running returns a server as the engine sees it.
func running(client *ollama.Client) consumer.RunningServer {
	return consumer.RunningServer{URL: client.URL(), Backend: client}
}

// gpus returns the servers as GPUs, with what they say of themselves. On those that run already
// it loads the model.
func (c *command) gpus(ctx context.Context, servers servers, model string) ([]consumer.LaneConfig, pipeline.Presence, error) {
	if c.wanted() {
		return c.fleetOf(servers.seats), pipeline.Presence{}, nil
	}
	var backends []consumer.RunningServer
	for _, client := range servers.clients {
		backends = append(backends, running(client))
	}
	models, err := consumer.LoadModel(ctx, backends, model)
	if err != nil {
		return nil, pipeline.Presence{}, err
	}
	gpus := make([]consumer.LaneConfig, len(models))
	for i, client := range servers.clients {
		gpus[i] = consumer.LaneConfig{Name: strings.TrimPrefix(client.URL(), "http://"), Backend: client, Slots: c.Slots.Most, Auto: c.Slots.Auto, Context: models[i].Context}
	}
	return gpus, pipeline.Presence{ServerVersion: models[0].ServerVersion, Digest: models[0].Digest}, nil
}
