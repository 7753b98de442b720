package stream

import (
	"context"
	"errors"
	"fmt"
	"net"
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
	return conn, err
}
