// Package faultproxy is a network with faults: it carries TCP connections to a server, and delays,
// stalls or cuts them on request.
package faultproxy

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A Proxy carries connections to one server. Its methods may be called by many goroutines at any
// time.
type Proxy struct {
	listener net.Listener
	target   string // host and port
	carried  atomic.Int64
	stallAt  atomic.Int64 // how many bytes carried begin a stall; 0: none

	mu     sync.Mutex
	delay  time.Duration
	passes chan struct{} // closed while bytes may pass; another one for each stall
	frozen chan struct{} // closed when the present connections are frozen; another one for those after them
	closed bool
	conns  map[net.Conn]bool
	ended  chan struct{}
	busy   sync.WaitGroup // every goroutine
}

// onTheWay bounds what one direction of a connection holds, in reads of at most 64 KiB: far more
// than is sent within any delay that makes sense.
const onTheWay = 16 << 10

// A segment is what one read returned, and when the other end may have it.
type segment struct {
	data []byte
	due  time.Time
}

// Start listens on a free port of this machine and carries each connection to the target, a host
// and a port, which need not be there yet. The caller ends it with Close.
func Start(target string) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("the proxy before %s: %w", target, err)
	}
	p := &Proxy{listener: listener, target: target, passes: make(chan struct{}), frozen: make(chan struct{}), conns: map[net.Conn]bool{}, ended: make(chan struct{})}
	close(p.passes)
	p.busy.Go(p.accept)
	return p, nil
}

// Addr returns the host and port to connect to.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Carried returns how many bytes it has read from all connections so far, in both directions.
func (p *Proxy) Carried() int64 { return p.carried.Load() }

// Delay makes everything that is sent from now on, in either direction, arrive this much
// later. It delays and does not throttle: any number of bytes may be on the way.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Cut ends all present connections. New ones are carried as before.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		_ = conn.Close() // it may be closed already
	}
}

// Stall lets nothing pass until Resume, like a network that loses everything: no connection ends,
// and new ones are accepted but get no answer.
func (p *Proxy) Stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.stalls() {
		p.passes = make(chan struct{})
	}
}

// StallAfter begins a stall by itself when this many bytes have been carried. What exceeds them
// does not pass.
func (p *Proxy) StallAfter(bytes int64) { p.stallAt.Store(p.carried.Load() + bytes) }

// Stalled reports whether a stall goes on.
func (p *Proxy) Stalled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stalls()
}

// Resume ends a stall. What was sent in the meantime arrives.
func (p *Proxy) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stalls() {
		close(p.passes)
	}
}

// Freeze makes the present connections half-open for good: nothing passes on them any more, none of
// them ends, and what is sent is lost. New ones are carried as before. So a router does that has
// forgotten its connections.
func (p *Proxy) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.frozen)
	p.frozen = make(chan struct{})
}

// Close ends all connections and waits for the goroutines.
func (p *Proxy) Close() {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.ended)
	}
	p.mu.Unlock()
	_ = p.listener.Close() // it may be closed already
	p.Cut()
	p.busy.Wait()
}

// stalls reports whether the proxy is stalled. It is called with the mutex held.
func (p *Proxy) stalls() bool {
	return !isClosed(p.passes)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		if p.track(client) {
			p.busy.Go(func() { p.connect(client) })
		}
	}
}

// connect carries a connection, once bytes may pass, to its end.
func (p *Proxy) connect(client net.Conn) {
	defer p.drop(client)
	if !p.pass() {
		return
	}
	server, err := net.DialTimeout("tcp", p.target, 10*time.Second)
	if err != nil || !p.track(server) {
		return
	}
	defer p.drop(server)
	p.mu.Lock()
	frozen := p.frozen
	p.mu.Unlock()
	var back sync.WaitGroup
	back.Go(func() { p.carry(server, client, frozen) })
	p.carry(client, server, frozen)
	back.Wait()
}

// track records a connection for Cut. After Close it closes it instead and reports false.
func (p *Proxy) track(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = conn.Close()
		return false
	}
	p.conns[conn] = true
	return true
}

func (p *Proxy) drop(conn net.Conn) {
	_ = conn.Close() // it may be closed already
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, conn)
}

// carry takes one direction until either end closes, and then closes both.
func (p *Proxy) carry(from, to net.Conn, frozen <-chan struct{}) {
	segments := make(chan segment, onTheWay)
	var writer sync.WaitGroup
	writer.Go(func() {
		for s := range segments {
			time.Sleep(time.Until(s.due))
			if !p.pass() || isClosed(frozen) {
				continue
			}
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
		if carried, most := p.carried.Add(int64(n)), p.stallAt.Load(); most > 0 && carried > most {
			p.stallAt.Store(0)
			p.Stall()
		}
		segments <- segment{append([]byte(nil), buffer[:n]...), time.Now().Add(p.delayNow())}
	}
	close(segments)
	writer.Wait()
	_, _ = from.Close(), to.Close()
}

func (p *Proxy) delayNow() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.delay
}

// pass waits until bytes may pass, and reports false if the proxy ends first.
func (p *Proxy) pass() bool {
	p.mu.Lock()
	passes := p.passes
	p.mu.Unlock()
	select {
	case <-passes:
		return true
	case <-p.ended:
		return false
	}
}
