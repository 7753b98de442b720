package command

import (
	"net"
	"strconv"

	"gleaner/internal/cli"
)

// listenAddress returns the host and port to listen on; without a host that is loopback.
func listenAddress(addr string) (string, int, error) {
	host, digits, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, cli.Usage("--addr or --http %q: use HOST:PORT", addr)
	}
	port, err := strconv.Atoi(digits)
	if err != nil || port < 0 || port > 65535 {
		return "", 0, cli.Usage("--addr or --http %q: %s is not a port", addr, digits)
	}
	if port == 0 {
		port = -1 // any free one
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return host, port, nil
}
