package command

import (
	"context"
	"fmt"

	"gleaner/internal/cli"
	"gleaner/internal/natsd"
)

// NATSServer is the command nats: the embedded NATS server alone.
type NATSServer struct {
	cli.LogFlags `embed:""`
	Addr         string `default:"127.0.0.1:4222" help:"Where to listen."`
	Data         string `byhand:"" default:"gleaner-data/nats-server" placeholder:"DIR" help:"Folder for the streams."`
	SyncAlways   bool   `default:"true" negatable:"" help:"Bring every message to the disk before it is confirmed."`
}

// Run serves until ctx ends.
func (c *NATSServer) Run(ctx context.Context, t *cli.Terminal) error {
	log, err := c.Logger(t)
	if err != nil {
		return err
	}
	host, port, err := listenAddress(c.Addr)
	if err != nil {
		return err
	}
	server, err := natsd.Start(natsd.Config{Dir: c.Data, Host: host, Port: port, SyncAlways: c.SyncAlways, Warn: func(line string) { log.Warn(line) }})
	if err != nil {
		return err
	}
	defer server.Shutdown()
	fmt.Fprintf(t.Out, "%s\n", server.URL())
	log.Info("NATS is ready; stop with Ctrl-C")
	<-ctx.Done()
	return nil
}
