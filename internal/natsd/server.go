package natsd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"github.com/nats-io/nats-server/v2/server"
)

// Config says where and how the server runs. The zero value of a field is its default.
type Config struct {
	Dir        string // where JetStream keeps its files; created if missing; one server at a time
	Name       string // of the server, seen by clients; default "gleaner"
	Host       string // address to listen on; default 127.0.0.1
	Port       int    // 0: connections in this process only; -1: any free port
	Key        string // a secret that clients have to give, also those in this process; "": none
	SyncAlways bool   // every write reaches the disk before it is confirmed, else within two minutes
	MaxStore   int64  // bytes of all streams together; 0: three quarters of the free disk

	// Warn, if set, gets the server's warnings and errors, one line each. It is called from many
	// goroutines.
	Warn func(line string)
	// Adjust, if set, changes the server's options last: accounts, users, clusters.
	Adjust func(*server.Options)
}

// A Server is a running NATS server. Its method InProcessConn makes it a
// nats.InProcessConnProvider.
//
// A full disk makes the server refuse messages for good, or turn JetStream off. So once there is
// room a Server opens it again, with the same address. Clients notice a short interruption.
type Server struct {
	cfg    Config
	folder *flock.Flock // the lock on the folder
	once   sync.Once

	ending   chan struct{}
	watching sync.WaitGroup

	mu   sync.Mutex
	nats *server.Server
	log  *logger // of this server
}

// Start runs a server and returns when clients can connect. The caller ends it with Shutdown.
func Start(cfg Config) (*Server, error) {
	if cfg.Dir == "" {
		return nil, errors.New("start the NATS server: no folder is given")
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("start the NATS server: create its folder: %w", err)
	}
	folder, err := lockFolder(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("start the NATS server: %w", err)
	}
	nats, log, err := run(cfg)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the NATS server: %w", err), folder.Unlock())
	}
	s := &Server{cfg: cfg, folder: folder, nats: nats, log: log, ending: make(chan struct{})}
	if addr, ok := nats.Addr().(*net.TCPAddr); ok {
		s.cfg.Port = addr.Port
	}
	if js := nats.JetStreamConfig(); js != nil {
		s.cfg.MaxStore = js.MaxStore // a server that is opened again may hold what this one holds
		s.watching.Go(s.watch)
	}
	return s, nil
}

// isFull reports whether a full disk has stopped the server from storing.
func (s *Server) isFull() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.wasFull() || !s.nats.JetStreamEnabled()
}

// running returns the server that runs now.
func (s *Server) running() *server.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nats
}

func run(cfg Config) (*server.Server, *logger, error) {
	opts := options(cfg)
	s, err := server.NewServer(opts)
	if err != nil {
		return nil, nil, err
	}
	log := &logger{warn: cfg.Warn}
	s.SetLogger(log, false, false)
	// Start returns once the server accepts connections, or has said by Fatalf why it does not.
	s.Start()
	if reason := log.fatal(); reason != "" {
		s.Shutdown()
		s.WaitForShutdown()
		return nil, nil, explain(cfg, reason)
	}
	return s, log, nil
}

func options(cfg Config) *server.Options {
	opts := &server.Options{
		ServerName:        or(cfg.Name, "gleaner"),
		Host:              or(cfg.Host, "127.0.0.1"),
		Port:              cfg.Port,
		DontListen:        cfg.Port == 0,
		JetStream:         true,
		StoreDir:          cfg.Dir,
		JetStreamMaxStore: cfg.MaxStore,
		SyncAlways:        cfg.SyncAlways,
		Authorization:     cfg.Key,
		NoSigs:            true, // signals belong to the program
		MaxPingsOut:       2,
		PingInterval:      20 * time.Second, // a client that vanished is noticed within a minute
	}
	if cfg.Adjust != nil {
		cfg.Adjust(opts)
	}
	return opts
}

// explain adds to the server's own words what a person can do about it.
func explain(cfg Config, reason string) error {
	if cfg.Port > 0 {
		probe, err := net.Listen("tcp", net.JoinHostPort(or(cfg.Host, "127.0.0.1"), strconv.Itoa(cfg.Port)))
		if err != nil {
			return fmt.Errorf("%w: end what listens there, or choose another address", err)
		}
		_ = probe.Close()
	}
	return fmt.Errorf("%s (folder %s)", reason, cfg.Dir)
}

// Clients returns how many clients are connected.
func (s *Server) Clients() int { return s.running().NumClients() }

// URL returns the address for clients, or "" if the server does not listen.
func (s *Server) URL() string {
	nats := s.running()
	if nats.Addr() == nil {
		return ""
	}
	return nats.ClientURL()
}

// InProcessConn returns the client's end of a connection that needs no network.
func (s *Server) InProcessConn() (net.Conn, error) { return s.running().InProcessConn() }

// Name returns the server's name.
func (s *Server) Name() string { return s.running().Name() }

// A Count is what a server has carried for its clients since it started, both directions together.
type Count struct {
	Messages int64
	Bytes    int64 // of headers and contents; subjects and protocol are not counted
}

// Count returns the server's own counters.
func (s *Server) Count() (Count, error) {
	v, err := s.running().Varz(nil)
	if err != nil {
		return Count{}, fmt.Errorf("read the NATS server's counters: %w", err)
	}
	return Count{Messages: v.InMsgs + v.OutMsgs, Bytes: v.InBytes + v.OutBytes}, nil
}

// Leads reports whether this server leads its cluster.
func (s *Server) Leads() bool { return s.running().JetStreamIsLeader() }

// Shutdown ends the server, waits for it and releases its folder. Calling it again does nothing.
func (s *Server) Shutdown() {
	s.once.Do(func() {
		close(s.ending)
		s.watching.Wait()
		nats := s.running()
		nats.Shutdown()
		nats.WaitForShutdown()
		_ = s.folder.Unlock() // the kernel releases it at the latest when the process ends
	})
}

func or(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}
