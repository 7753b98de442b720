package command

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/cli"
	"gleaner/internal/ollamasim"
)

// SimulatedOllama is the command ollama: the simulated Ollama alone.
type SimulatedOllama struct {
	cli.LogFlags `embed:""`
	Addr         string   `default:"127.0.0.1:11434" help:"Where to listen."`
	Models       []string `name:"model" default:"sim:latest" help:"Models that it has."`
	Slots        int      `default:"8" help:"Generations at a time."`
	Speed        float64  `default:"10" help:"How many times faster than a T4 it is."`
	Instant      bool     `help:"Answer at once."`
}

// Run serves until ctx ends.
func (c *SimulatedOllama) Run(ctx context.Context, t *cli.Terminal) error {
	log, err := c.Logger(t)
	if err != nil {
		return err
	}
	host, port, err := listenAddress(c.Addr)
	if err != nil {
		return err
	}
	server := ollamasim.New(ollamasim.Config{Slots: c.Slots, Models: c.Models, Speed: c.Speed, Instant: c.Instant, ChunkEvery: 20 * time.Millisecond})
	url, err := server.Start(net.JoinHostPort(host, strconv.Itoa(max(port, 0))))
	if err != nil {
		return err
	}
	defer server.Close()
	fmt.Fprintf(t.Out, "%s\n", url)
	log.Info("the simulated Ollama is ready; stop with Ctrl-C", zap.Strings("models", c.Models), zap.Int("slots", c.Slots))
	<-ctx.Done()
	return nil
}
