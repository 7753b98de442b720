// Package natsdtest starts NATS servers for tests: alone, restarted in place, as a cluster, with
// limits, with users.
package natsdtest

import (
	"testing"

	"gleaner/internal/natsd"

	"github.com/nats-io/nats-server/v2/server"
)

// A Server is a server that the test can end and start again in place.
type Server struct {
	*natsd.Server
	t   testing.TB
	cfg natsd.Config
}

// Start runs a server on a free port of the loopback address until the test ends. An empty Dir is
// a folder of the test's own.
func Start(t testing.TB, cfg natsd.Config) *Server {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	if cfg.Port == 0 {
		cfg.Port = -1
	}
	adjust := cfg.Adjust
	s := &Server{t: t, cfg: cfg}
	s.cfg.Adjust = func(o *server.Options) {
		// A test's disk may be nearly full; what the streams reserve is never filled.
		if o.JetStreamMaxStore == 0 {
			o.JetStreamMaxStore = 64 << 30
		}
		if adjust != nil {
			adjust(o)
		}
	}
	s.Restart()
	s.cfg.Port = s.port()
	t.Cleanup(func() { s.Shutdown() })
	return s
}

// Restart ends the server, if it runs, and starts it again on the same folder and port.
func (s *Server) Restart() {
	s.t.Helper()
	if s.Server != nil {
		s.Shutdown()
	}
	var err error
	if s.Server, err = natsd.Start(s.cfg); err != nil {
		s.t.Fatal(err)
	}
}

func (s *Server) port() int {
	_, port, err := hostPort(s.URL())
	if err != nil {
		s.t.Fatal(err)
	}
	return port
}

// User returns a user, for Users, who may publish and subscribe to these subjects only.
func User(name, password string, publish, subscribe []string) *server.User {
	return &server.User{Username: name, Password: password, Permissions: &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: publish},
		Subscribe: &server.SubjectPermission{Allow: subscribe},
	}}
}

// Users makes the server accept these users and no others; it is a natsd.Config's Adjust. A user
// without permissions may do everything.
func Users(users ...*server.User) func(*server.Options) {
	return func(o *server.Options) { o.Users = users }
}

// WithoutJetStream makes the server one that has none; it is a natsd.Config's Adjust.
func WithoutJetStream(o *server.Options) { o.JetStream = false }
