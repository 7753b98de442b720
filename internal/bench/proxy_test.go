package main

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"
)

func TestTheProxyDelaysBothWaysAndDoesNotThrottle(t *testing.T) {
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() {
		conn, err := echo.Accept()
		if err == nil {
			_, err = io.Copy(conn, conn)
			_ = conn.Close()
		}
		answered <- err
	}()
	const delay = 30 * time.Millisecond
	p, err := startProxy(echo.Addr().String(), delay)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", p.addr())
	if err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	const messages = 1000
	go func() {
		for range messages {
			_, _ = conn.Write([]byte("hello")) // an error is noticed by the reader
		}
	}()
	got := make([]byte, 5*messages)
	if _, err := io.ReadFull(conn, got[:5]); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(started); took < 2*delay {
		t.Errorf("the first answer came after %s, want at least %s", took, 2*delay)
	}
	if _, err := io.ReadFull(conn, got[5:]); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(started); took > messages*delay/2 {
		t.Errorf("%d messages took %s: each waited for the one before", messages, took)
	}
	if want := bytes.Repeat([]byte("hello"), messages); !bytes.Equal(got, want) {
		t.Error("what came back is not what was sent")
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	p.close()
	if err := echo.Close(); err != nil {
		t.Error(err)
	}
	<-answered
}
