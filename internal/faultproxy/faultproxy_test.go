package faultproxy_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gleaner/internal/faultproxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestItDelaysBothWaysAndDoesNotThrottle(t *testing.T) {
	const delay, messages = 30 * time.Millisecond, 1000
	p := start(t)
	p.Delay(delay)
	conn := dial(t, p)
	started := time.Now()
	go func() {
		for range messages {
			_, _ = conn.Write([]byte("hello")) // an error is noticed by the reader
		}
	}()
	got := make([]byte, 5*messages)
	read(t, conn, got[:5])
	if took := time.Since(started); took < 2*delay {
		t.Errorf("the first answer came after %s, want at least %s", took, 2*delay)
	}
	read(t, conn, got[5:])
	if took := time.Since(started); took > messages*delay/2 {
		t.Errorf("%d messages took %s: each waited for the one before", messages, took)
	}
	if want := bytes.Repeat([]byte("hello"), messages); !bytes.Equal(got, want) {
		t.Error("what came back is not what was sent")
	}
}

func TestACutEndsWhatIsThereAndNothingElse(t *testing.T) {
	p := start(t)
	conn := dial(t, p)
	echo(t, conn, "before")
	p.Cut()
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("a connection was still there after the cut")
	}
	echo(t, dial(t, p), "after")
}

func TestAStallBeginsByItselfAfterSomeBytes(t *testing.T) {
	p := start(t)
	conn := dial(t, p)
	p.StallAfter(12) // there and back
	echo(t, conn, "before")
	if _, err := conn.Write([]byte("after")); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes pass", n)
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	p.Resume()
	read(t, conn, make([]byte, len("after")))
}

func TestAFrozenConnectionIsNeitherAliveNorDead(t *testing.T) {
	p := start(t)
	old := dial(t, p)
	echo(t, old, "before")
	p.Freeze()
	echo(t, dial(t, p), "another one")
	if _, err := old.Write([]byte("lost")); err != nil {
		t.Error("the frozen connection has ended:", err)
	}
	if err := old.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var network net.Error
	if n, err := old.Read(make([]byte, 8)); n > 0 || !errors.As(err, &network) || !network.Timeout() {
		t.Errorf("the frozen connection got %d bytes, %v", n, err)
	}
}

func TestAStallEndsNothingAndLosesNothing(t *testing.T) {
	p := start(t)
	old := dial(t, p)
	echo(t, old, "before")
	p.Stall()
	p.Stall()
	young := dial(t, p)
	for _, conn := range []net.Conn{old, young} {
		if _, err := conn.Write([]byte("waits")); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if n, _ := conn.Read(make([]byte, 1)); n > 0 {
			t.Error("something came through a stalled network")
		}
		if err := conn.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	p.Resume()
	p.Resume()
	for _, conn := range []net.Conn{old, young} {
		got := make([]byte, 5)
		read(t, conn, got)
		if string(got) != "waits" {
			t.Errorf("%q came, want %q", got, "waits")
		}
	}
}

func TestItEndsInAStall(t *testing.T) {
	p := start(t)
	conn := dial(t, p)
	echo(t, conn, "before")
	p.Stall()
	if _, err := conn.Write([]byte("lost")); err != nil {
		t.Fatal(err)
	}
	dial(t, p)
	p.Close() // and again at the end of the test
}

// start returns a proxy to a server that sends back what it gets.
func start(t *testing.T) *faultproxy.Proxy {
	t.Helper()
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, conn) // until the proxy closes it
				_ = conn.Close()
			}()
		}
	}()
	p, err := faultproxy.Start(server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Close()
		_ = server.Close()
		<-ended
	})
	return p
}

func dial(t *testing.T, p *faultproxy.Proxy) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func echo(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	read(t, conn, got)
	if string(got) != text {
		t.Errorf("%q came back, want %q", got, text)
	}
}

func read(t *testing.T, conn net.Conn, into []byte) {
	t.Helper()
	if _, err := io.ReadFull(conn, into); err != nil {
		t.Fatal(err)
	}
}
