package storetest

import (
	"encoding/binary"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// A MongoProxy forwards connections to a MongoDB server. A test can make it unreachable, or over
// its quota like a free Atlas cluster, or for a user that may only read: then every write is
// refused with the error that Atlas returns. Over the quota deletions work.
type MongoProxy struct {
	URI string // of the proxy, for the store

	server   string // address of the server
	listener net.Listener
	serving  sync.WaitGroup

	mu         sync.Mutex
	full, away bool
	readOnly   bool
	refused    int                   // writes
	open       map[net.Conn]struct{} // both sides of all connections
}

// NewMongoProxy returns a proxy for the server of a URI with one host and no password. It closes at
// the end of the test.
func NewMongoProxy(t testing.TB, uri string) *MongoProxy {
	t.Helper()
	scheme, rest, _ := strings.Cut(uri, "://")
	host, path, _ := strings.Cut(rest, "/")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &MongoProxy{server: host, listener: listener, URI: scheme + "://" + listener.Addr().String() + "/" + path, open: map[net.Conn]struct{}{}}
	p.serving.Go(p.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		p.SetAway(true)
		p.serving.Wait()
	})
	return p
}

// SetFull makes the proxy refuse writes, or accept them again.
func (p *MongoProxy) SetFull(full bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.full = full
}

// SetReadOnly makes the proxy refuse writes as a server does to a user that may only read.
func (p *MongoProxy) SetReadOnly() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.readOnly = true
}

// SetAway closes all connections and refuses new ones, or accepts them again.
func (p *MongoProxy) SetAway(away bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = away
	if away {
		for conn := range p.open {
			_ = conn.Close()
		}
	}
}

// Refused returns how many writes were refused so far.
func (p *MongoProxy) Refused() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refused
}

func (p *MongoProxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil || !p.track(client, server) {
			_ = client.Close()
			if err == nil {
				_ = server.Close()
			}
			continue
		}
		replies := &sync.Mutex{} // keeps refusals and the server's replies apart
		p.serving.Go(func() { p.forwardRequests(client, server, replies); p.forget(client, server) })
		p.serving.Go(func() { p.forwardReplies(client, server, replies); p.forget(client, server) })
	}
}

// track remembers connections, and reports whether they may stay open.
func (p *MongoProxy) track(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		p.open[conn] = struct{}{}
	}
	return !p.away
}

func (p *MongoProxy) forget(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		_ = conn.Close()
		delete(p.open, conn)
	}
}

// forwardRequests sends the client's messages to the server, except for those that are refused.
func (p *MongoProxy) forwardRequests(client, server net.Conn, replies *sync.Mutex) {
	for {
		message, err := readMessage(client)
		if err != nil {
			return
		}
		if refused := p.refuses(message); refused != nil {
			replies.Lock()
			_, err = client.Write(refusal(message, refused))
			replies.Unlock()
		} else {
			_, err = server.Write(message)
		}
		if err != nil {
			return
		}
	}
}

func (p *MongoProxy) forwardReplies(client, server net.Conn, replies *sync.Mutex) {
	for {
		message, err := readMessage(server)
		if err != nil {
			return
		}
		replies.Lock()
		_, err = client.Write(message)
		replies.Unlock()
		if err != nil {
			return
		}
	}
}

// refuses returns the error for a message that is refused, or nil.
func (p *MongoProxy) refuses(message []byte) bson.D {
	p.mu.Lock()
	defer p.mu.Unlock()
	name := command(message)
	switch {
	case p.readOnly && slices.Contains([]string{"insert", "update", "findAndModify", "delete"}, name):
		p.refused++
		return bson.D{
			{Key: "ok", Value: 0}, {Key: "code", Value: 13}, {Key: "codeName", Value: "Unauthorized"},
			{Key: "errmsg", Value: "not authorized on gleaner to execute command { " + name + ": \"store\" }"},
		}
	case p.full && slices.Contains([]string{"insert", "update", "findAndModify"}, name):
		p.refused++
		return bson.D{
			{Key: "ok", Value: 0}, {Key: "code", Value: 8000}, {Key: "codeName", Value: "AtlasError"},
			{Key: "errmsg", Value: "you are over your space quota, using 514 MB of 512 MB"},
		}
	}
	return nil
}

const (
	headerBytes = 16 // length, request id, id it replies to, operation
	opMessage   = 2013
)

// readMessage reads one message of MongoDB's wire protocol.
func readMessage(from io.Reader) ([]byte, error) {
	header := make([]byte, headerBytes)
	if _, err := io.ReadFull(from, header); err != nil {
		return nil, err
	}
	length := binary.LittleEndian.Uint32(header)
	if length < headerBytes || length > 64<<20 {
		return nil, io.ErrUnexpectedEOF
	}
	message := append(header, make([]byte, length-headerBytes)...)
	_, err := io.ReadFull(from, message[headerBytes:])
	return message, err
}

// command returns the name of the command in a message, which is its first key, or "".
func command(message []byte) string {
	const body = headerBytes + 4 + 1 // flags and the section's kind
	if len(message) <= body || binary.LittleEndian.Uint32(message[12:]) != opMessage || message[body-1] != 0 {
		return ""
	}
	element, err := bson.Raw(message[body:]).IndexErr(0)
	if err != nil {
		return ""
	}
	return element.Key()
}

// refusal returns the reply to a message with an error.
func refusal(of []byte, failure bson.D) []byte {
	doc, _ := bson.Marshal(failure) // of constants it cannot fail
	message := make([]byte, headerBytes+4+1, headerBytes+4+1+len(doc))
	binary.LittleEndian.PutUint32(message[0:], uint32(cap(message)))
	copy(message[8:12], of[4:8])
	binary.LittleEndian.PutUint32(message[12:], opMessage)
	return append(message, doc...)
}
