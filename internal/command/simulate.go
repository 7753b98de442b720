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
	"gleaner/internal/pipeline"
)

// simulatedPort is where the simulated Ollama listens, and ollamaPort where a real one does.
const (
	simulatedPort = "11411"
	ollamaPort    = 11434
)

// SimulatedOllama is the command simulate: the simulated Ollama alone.
type SimulatedOllama struct {
	cli.LogFlags `embed:""`
	Addr         string   `default:"127.0.0.1:11411" help:"Where to listen; never port 11434, where programs expect a real Ollama."`
	Models       []string `name:"model" default:"sim:latest" help:"Models that it has; each is called simulated/NAME."`
	Slots        int      `default:"8" help:"Generations at a time."`
	Context      int      `default:"4096" help:"Tokens of a prompt and its answer."`
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
	if port == ollamaPort {
		return cli.Usage("--addr %q: port %d is where programs expect a real Ollama, and would take made up answers for its own; leave --addr out to listen on port %s, and give that to the consumer as --ollama http://127.0.0.1:%s",
			c.Addr, ollamaPort, simulatedPort, simulatedPort)
	}
	names := make([]string, len(c.Models))
	for i, name := range c.Models {
		names[i] = pipeline.SimulatedModel(name)
	}
	server := ollamasim.New(ollamasim.Config{Slots: c.Slots, Context: c.Context, Models: c.Models, Speed: c.Speed, Instant: c.Instant, ChunkEvery: 20 * time.Millisecond})
	url, err := server.Start(net.JoinHostPort(host, strconv.Itoa(max(port, 0))))
	if err != nil {
		return err
	}
	defer server.Close()
	fmt.Fprintf(t.Out, "%s\n", url)
	log.Info("the simulated Ollama is ready; stop with Ctrl-C", zap.Strings("models", names), zap.Int("slots", c.Slots))
	<-ctx.Done()
	return nil
}
