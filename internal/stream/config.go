package stream

import (
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
)

// Config says which NATS server to use, and how. The zero value of a field is its default.
type Config struct {
	URL   string // nats://, tls://, wss://…; several with commas
	Creds string // the path of a .creds file, or its content
	Name  string // of the program, seen in the server's list of connections
	// User names the inbox: replies come to _INBOX_<user>. Default the user in the credentials or
	// the URL, else a random one.
	User      string
	Key       string                     // the secret of a server that has one, see natsd.Config
	InProcess nats.InProcessConnProvider // a server in this process, instead of URL
	Timeout   time.Duration              // for the first connection; default 10 s
	// Patient waits for the first connection without end, and says after ten seconds what to check.
	// It is for programs that run for long. Others wait for Timeout, and for less if the context has
	// less patience.
	Patient bool
	// Lease is how long a batch is held without a sign of life. Default what the run has; a new run
	// gets pipeline.DefaultLease.
	Lease time.Duration
	// OnClose, if it is not nil, is called once at the end of Close.
	OnClose func()
	// SinkLease is the same for results and dead letters, which a sink holds only while it writes
	// them. Default what they have, at first DefaultSinkLease.
	SinkLease time.Duration
	Replicas  int   // of each stream; default 1
	MaxBytes  int64 // of all streams together; default what the account allows, at most 4 GiB
	// Enlarge gives more room to streams that exist and are smaller than MaxBytes asks for.
	Enlarge bool
	Log     *zap.Logger // default none

	sayAfter time.Duration // default patientSilence; a test shortens it
}
