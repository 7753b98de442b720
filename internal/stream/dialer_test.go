package stream

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// The server has said why and closed before the client has written.
func TestARefusalIsKnownAlsoWhereTheGreetingFails(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			_, _ = conn.Write([]byte("INFO {}\r\n-ERR 'maximum connections exceeded'\r\n"))
			_ = conn.Close()
		}
	}()
	inner, err := net.Dial("tcp", listener.Addr().String())
	must(t, err)
	defer inner.Close()
	conn := &refusedConn{Conn: inner}
	for tries := 0; err == nil && tries < 100; tries++ { // the first ones may be taken
		time.Sleep(time.Millisecond)
		_, err = conn.Write([]byte("CONNECT {}\r\n"))
	}
	if !errors.Is(err, nats.ErrMaxConnectionsExceeded) || !isConnectionLimit(err) {
		t.Errorf("got %v", err)
	}
}
