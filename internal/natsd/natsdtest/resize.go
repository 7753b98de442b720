package natsdtest

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Resize sets how many bytes a stream may hold, also fewer than it does. It needs a server
// without users.
func (s *Server) Resize(stream string, bytes int64) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	nc, err := nats.Connect("", nats.InProcessServer(s))
	check(s.t, err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	check(s.t, err)
	is, err := js.Stream(ctx, stream)
	check(s.t, err)
	config := is.CachedInfo().Config
	config.MaxBytes = bytes
	_, err = js.UpdateStream(ctx, config)
	check(s.t, err)
}
