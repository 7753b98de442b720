package storetest

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// A Front stands before a MongoDB server. It is away when told to, and over its quota as a free
// Atlas cluster is: reads and deletions work, every other write is refused with Atlas' own words.
type Front struct {
	URI string

	behind   string // the server's address
	listener net.Listener
	serving  sync.WaitGroup

	mu         sync.Mutex
	full, away bool
	refused    int
	open       map[net.Conn]struct{}
}

// NewFront returns a front before the server of a URI with one host and no password. It ends with
// the test.
func NewFront(t testing.TB, uri string) *Front {
	t.Helper()
	scheme, rest, _ := strings.Cut(uri, "://")
	host, path, _ := strings.Cut(rest, "/")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &Front{behind: host, listener: listener, URI: scheme + "://" + listener.Addr().String() + "/" + path, open: map[net.Conn]struct{}{}}
	f.serving.Go(f.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		f.SetAway(true)
		f.serving.Wait()
	})
	return f
}

// SetFull makes the server refuse writes, or take them again.
func (f *Front) SetFull(full bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.full = full
}

// SetAway cuts all connections and takes no new ones, or does again.
func (f *Front) SetAway(away bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = away
	if away {
		for conn := range f.open {
			_ = conn.Close()
		}
	}
}

// Refused returns how many writes were refused so far.
func (f *Front) Refused() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.refused
}

func (f *Front) accept() {
	for {
		client, err := f.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", f.behind)
		if err != nil || !f.keep(client, server) {
			_ = client.Close()
			if err == nil {
				_ = server.Close()
			}
			continue
		}
		replies := &sync.Mutex{} // a refusal and the server's words do not mix
		f.serving.Go(func() { f.ask(client, server, replies); f.drop(client, server) })
		f.serving.Go(func() { f.answer(client, server, replies); f.drop(client, server) })
	}
}

func (f *Front) keep(conns ...net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, conn := range conns {
		f.open[conn] = struct{}{}
	}
	return !f.away
}

func (f *Front) drop(conns ...net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, conn := range conns {
		_ = conn.Close()
		delete(f.open, conn)
	}
}

// ask takes the client's messages to the server, but for those that are refused.
func (f *Front) ask(client, server net.Conn, replies *sync.Mutex) {
	for {
		message, err := readMessage(client)
		if err != nil {
			return
		}
		if f.refuses(message) {
			replies.Lock()
			_, err = client.Write(refusal(message))
			replies.Unlock()
		} else {
			_, err = server.Write(message)
		}
		if err != nil {
			return
		}
	}
}

func (f *Front) answer(client, server net.Conn, replies *sync.Mutex) {
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

func (f *Front) refuses(message []byte) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.full {
		return false
	}
	switch command(message) {
	case "insert", "update", "findAndModify":
		f.refused++
		return true
	}
	return false
}

const (
	headerBytes = 16 // length, request, response to, operation
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

// refusal is what Atlas answers a write.
func refusal(of []byte) []byte {
	doc, _ := bson.Marshal(bson.D{ // of constants it cannot fail
		{Key: "ok", Value: 0}, {Key: "code", Value: 8000}, {Key: "codeName", Value: "AtlasError"},
		{Key: "errmsg", Value: "you are over your space quota, using 514 MB of 512 MB"},
	})
	message := make([]byte, headerBytes+4+1, headerBytes+4+1+len(doc))
	binary.LittleEndian.PutUint32(message[0:], uint32(cap(message)))
	copy(message[8:12], of[4:8])
	binary.LittleEndian.PutUint32(message[12:], opMessage)
	return append(message, doc...)
}
