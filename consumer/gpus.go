package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

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
		if err := awaitServer(ctx, client, log); err != nil {
			return nil, err
		}
		clients = append(clients, client)
	}
	return clients, nil
}

// serverWithin is how long a server that was started together with the consumer may take to answer.
const serverWithin = 10 * time.Second

// awaitServer returns when the server answers, or with the reason why it does not.
func awaitServer(ctx context.Context, client *ollama.Client, log *zap.Logger) error {
	limit := time.Now().Add(serverWithin)
	for waiting := false; ; waiting = true {
		err := client.Ping(ctx)
		if err == nil || time.Now().After(limit) {
			return err
		}
		if !waiting {
			log.Info("waiting for Ollama to answer", zap.String("server", client.URL()))
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// gpus returns the servers as GPUs, with what they say of themselves. On those that run already
// it loads the model.
func (c *command) gpus(ctx context.Context, servers servers, model string) ([]consumer.LaneConfig, pipeline.Presence, error) {
	if c.wanted() {
		return c.fleetOf(servers.seats), pipeline.Presence{}, nil
	}
	clients := servers.clients
	models := make([]ollama.Model, len(clients))
	group, loading := errgroup.WithContext(ctx)
	for i, client := range clients {
		group.Go(func() (err error) {
			if models[i], err = client.Describe(loading, model); err != nil {
				return err
			}
			if err := client.WarmUp(loading, model); err != nil {
				return err
			}
			models[i], err = client.Describe(loading, model) // the context length is known once it is loaded
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, pipeline.Presence{}, err
	}
	gpus := make([]consumer.LaneConfig, len(clients))
	for i, client := range clients {
		if models[i].Digest != models[0].Digest {
			return nil, pipeline.Presence{}, fmt.Errorf("model %s differs between %s and %s: pull it anew on both", model, clients[0].URL(), client.URL())
		}
		gpus[i] = consumer.LaneConfig{Name: strings.TrimPrefix(client.URL(), "http://"), Model: client, Slots: c.Slots.Most, Auto: c.Slots.Auto, Context: models[i].Context}
	}
	return gpus, pipeline.Presence{ServerVersion: models[0].ServerVersion, Digest: models[0].Digest}, nil
}
