package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// errSilent says that the server accepted the connection and did not greet as a NATS server does.
var errSilent = errors.New("the server there takes connections but does not answer as NATS does")

// A dialer gives up when the caller of Connect does, and later when the connection is closed. It
// remembers how the last dial ended, which nats.go does not report.
type dialer struct {
	lifetime context.Context // of the connection

	mu    sync.Mutex
	until context.Context // dials end with it: first the caller's context, then lifetime
	last  error
}

// connected lets later dials, which reconnect, last as long as the connection is wanted.
func (d *dialer) connected() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.until = d.lifetime
}

// reason returns why there is no connection, where nats.go only says that there is none or that
// it took too long.
func (d *dialer) reason(err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case !errors.Is(err, nats.ErrNoServers) && !isTimeout(err):
		return err
	case d.last == nil:
		return fmt.Errorf("%w: %w", errSilent, err)
	}
	return d.last
}

// Dial implements nats.CustomDialer.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	d.mu.Lock()
	ctx := d.until
	d.mu.Unlock()
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, address)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = err
	if err != nil {
		return nil, err
	}
	return &refusedConn{Conn: conn}, nil
}

// A refusedConn says why a server closed it. A server that has no connection left says so and
// closes at once. Where that is faster than the client's greeting, the client only sees that its
// greeting fails, and does not read what was said.
type refusedConn struct {
	net.Conn

	mu    sync.Mutex
	first string // what the server said in one piece with its greeting, which the client may not have looked at
	read  bool
}

// Read keeps the first piece.
func (c *refusedConn) Read(data []byte) (int, error) {
	n, err := c.Conn.Read(data)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.read {
		c.read, c.first = true, string(data[:n])
	}
	return n, err
}

// Write returns the server's reason, if there is one, in place of a failure.
func (c *refusedConn) Write(data []byte) (int, error) {
	n, err := c.Conn.Write(data)
	if err == nil || c.SetReadDeadline(time.Now().Add(100*time.Millisecond)) != nil {
		return n, err
	}
	said := make([]byte, 4<<10)
	length, _ := io.ReadAtLeast(c.Conn, said, len(said)) // what there is; its end is an error
	c.mu.Lock()
	text := strings.ToLower(c.first + string(said[:length]))
	c.mu.Unlock()
	for words, reason := range map[string]error{
		nats.MAX_CONNECTIONS_ERR:         nats.ErrMaxConnectionsExceeded,
		nats.MAX_ACCOUNT_CONNECTIONS_ERR: nats.ErrMaxAccountConnectionsExceeded,
	} {
		if strings.Contains(text, words) {
			return n, fmt.Errorf("%w: %w", reason, err)
		}
	}
	return n, err
}
