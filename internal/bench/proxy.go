package main

import (
	"fmt"
	"net"
	"sync"
	"time"
)

// A proxy stands for the distance to a server: what it is sent arrives a while later. It delays and does not
// throttle: any number of bytes may be on the way.
type proxy struct {
	listener net.Listener
	target   string // host and port
	delay    time.Duration

	mu     sync.Mutex
	closed bool
	conns  []net.Conn
	busy   sync.WaitGroup // every goroutine
}

// onTheWay bounds what one direction of a connection holds, in reads of at most 64 KiB: far more than any benchmark
// sends within a delay.
const onTheWay = 16 << 10

// A segment is what one read returned, and when the other end may have it.
type segment struct {
	data []byte
	due  time.Time
}

// startProxy listens on a free port of this machine and delays each direction to the target by so much.
func startProxy(target string, delay time.Duration) (*proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("the proxy that delays: %w", err)
	}
	p := &proxy{listener: listener, target: target, delay: delay}
	p.busy.Go(p.accept)
	return p, nil
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		if !p.keep(client, server) {
			return
		}
		p.busy.Go(func() { p.carry(client, server) })
		p.busy.Go(func() { p.carry(server, client) })
	}
}

// keep remembers connections for close, or closes them if it is too late.
func (p *proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		closeAll(conns)
		return false
	}
	p.conns = append(p.conns, conns...)
	return true
}

// carry takes one direction until either end closes, and then closes both.
func (p *proxy) carry(from, to net.Conn) {
	segments := make(chan segment, onTheWay)
	var writer sync.WaitGroup
	writer.Go(func() {
		for s := range segments {
			time.Sleep(time.Until(s.due))
			if _, err := to.Write(s.data); err != nil {
				_ = from.Close() // ends the reader
			}
		}
	})
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			break
		}
		segments <- segment{append([]byte(nil), buffer[:n]...), time.Now().Add(p.delay)}
	}
	close(segments)
	writer.Wait()
	closeAll([]net.Conn{from, to})
}

// close ends all connections and waits for the goroutines.
func (p *proxy) close() {
	p.mu.Lock()
	p.closed = true
	_ = p.listener.Close()
	closeAll(p.conns)
	p.mu.Unlock()
	p.busy.Wait()
}

func closeAll(conns []net.Conn) {
	for _, c := range conns {
		_ = c.Close() // there is nobody to tell
	}
}
