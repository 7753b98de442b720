package main

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"gleaner/internal/cli"
	"gleaner/internal/natsd"
)

// natsCmd is the command that runs the embedded NATS server alone.
type natsCmd struct {
	cli.LogFlags `embed:""`
	Addr         string `default:"127.0.0.1:4222" help:"Where to listen."`
	Data         string `default:"gleaner-data/nats-server" placeholder:"DIR" help:"Folder for the streams."`
	SyncAlways   bool   `default:"true" negatable:"" help:"Bring every message to the disk before it is confirmed."`
}

func (c *natsCmd) Run(ctx context.Context, t *cli.Terminal) error {
	log, err := c.Logger(t)
	if err != nil {
		return err
	}
	host, port, err := split(c.Addr)
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

// split returns the host and port to listen on; without a host that is loopback.
func split(addr string) (string, int, error) {
	host, digits, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, cli.Usage("addr %q: use HOST:PORT", addr)
	}
	port, err := strconv.Atoi(digits)
	if err != nil || port < 0 || port > 65535 {
		return "", 0, cli.Usage("addr %q: %s is not a port", addr, digits)
	}
	if port == 0 {
		port = -1 // any free one
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return host, port, nil
}
