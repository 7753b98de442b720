package ollamasim

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// A Server is a simulated Ollama. It is an http.Handler, and Start makes it listen.
type Server struct {
	cfg    Config
	gpu    *GPU
	faults faults
	mux    *http.ServeMux

	mu     sync.Mutex
	models map[string]modelInfo
	loaded map[string]*loading
	runner *runner
	stats  Stats
	closed bool
	http   *http.Server

	requests sync.WaitGroup // every request being answered
	serving  sync.WaitGroup // the goroutine that accepts connections
}

// Stats counts what a server has done.
type Stats struct {
	Requests  int // for a generation
	Answers   int // that were complete
	Cancelled int // requests that the client cancelled
	Faulty    int // requests that a fault was injected into
	Tokens    int // of complete answers
	Loads     int // of models, each time
}

// A runner is the process that would run the models. When it crashes everything in flight on it
// ends.
type runner struct {
	ctx   context.Context
	crash context.CancelCauseFunc
}

func newRunner() *runner {
	ctx, crash := context.WithCancelCause(context.Background())
	return &runner{ctx, crash}
}

// New returns a server that does not listen yet.
func New(cfg Config) *Server {
	if cfg.Slots <= 0 {
		cfg.Slots = DefaultSlots
	}
	if cfg.Context <= 0 {
		cfg.Context = DefaultContext
	}
	if len(cfg.Models) == 0 {
		cfg.Models = []string{DefaultModel}
	}
	if cfg.TokensPerSecond == nil {
		cfg.TokensPerSecond = T4
	}
	if cfg.Speed <= 0 {
		cfg.Speed = 1
	}
	if cfg.Lengths == nil {
		cfg.Lengths = LogNormal(100, 0.6)
	}
	if cfg.Version == "" {
		cfg.Version = Version
	}
	rate := func(busy int) float64 { return cfg.Speed * cfg.TokensPerSecond(busy) }
	if cfg.Instant {
		rate = func(int) float64 { return math.Inf(1) }
	}
	s := &Server{
		cfg:    cfg,
		gpu:    NewGPU(cfg.Slots, rate),
		models: map[string]modelInfo{},
		loaded: map[string]*loading{},
		runner: newRunner(),
	}
	for _, name := range cfg.Models {
		s.add(name)
	}
	s.mux = s.routes()
	return s
}

// Start listens on an address such as "127.0.0.1:0" and returns the URL of the server.
func (s *Server) Start(addr string) (url string, err error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return "", fmt.Errorf("simulated ollama: %w", err)
	}
	server := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.http != nil {
		listener.Close()
		return "", errors.New("simulated ollama: it was started before")
	}
	s.http = server
	s.serving.Go(func() { _ = server.Serve(listener) }) // it ends with Close, and then always with an error
	return "http://" + listener.Addr().String(), nil
}

// Close stops listening, ends every request and waits until all is over.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	server := s.http
	s.mu.Unlock()
	if server != nil {
		server.Close()
	}
	s.gpu.Close()
	s.serving.Wait()
	s.requests.Wait()
}

// Change changes the configuration from the next request on: Context, Load, ReloadOnShift, Lengths,
// ChunkEvery and Version. The other fields stay as they were at the start.
func (s *Server) Change(change func(*Config)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.cfg)
}

func (s *Server) config() Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cfg
}

// Inject adds a fault. Of several that match a request the one injected first happens.
func (s *Server) Inject(f Fault) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.list = append(s.faults.list, &f)
}

// ClearFaults removes all faults. Requests that hang already go on hanging.
func (s *Server) ClearFaults() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.list = nil
}

// GPU returns the simulated GPU, for its load and use.
func (s *Server) GPU() *GPU { return s.gpu }

// Stats returns what the server has done so far.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

func (s *Server) count(change func(*Stats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.stats)
}

// ServeHTTP answers as Ollama does, or as a fault wants it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
	s.requests.Add(1)
	s.mu.Unlock()
	defer s.requests.Done()
	if f := s.faults.everywhere(); f.Kind != "" {
		if instead := effects()[f.Kind].instead; instead != nil {
			instead(w, r, f)
			return
		}
	}
	s.mux.ServeHTTP(w, r)
}

func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	for path, methods := range map[string]map[string]http.HandlerFunc{
		"/{$}":          {"GET": s.root, "HEAD": s.root},
		"/api/version":  {"GET": s.version, "HEAD": s.version},
		"/api/tags":     {"GET": s.tags, "HEAD": s.tags},
		"/api/ps":       {"GET": s.ps},
		"/api/show":     {"POST": s.show},
		"/api/pull":     {"POST": s.pull},
		"/api/chat":     {"POST": s.chat},
		"/api/generate": {"POST": s.generate},
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			if h := methods[r.Method]; h != nil {
				h(w, r)
				return
			}
			for method := range methods {
				w.Header().Add("Allow", method)
			}
			slices.Sort(w.Header()["Allow"])
			plain(w, http.StatusMethodNotAllowed, "405 method not allowed")
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { plain(w, http.StatusNotFound, "404 page not found") })
	return mux
}

func (s *Server) root(w http.ResponseWriter, r *http.Request) {
	plain(w, http.StatusOK, "Ollama is running")
}

func (s *Server) version(w http.ResponseWriter, r *http.Request) {
	reply(w, http.StatusOK, struct {
		Version string `json:"version"`
		mark
	}{s.config().Version, mark{true}})
}
