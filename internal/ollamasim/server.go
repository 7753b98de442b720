package ollamasim

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Defaults of Config.
const (
	DefaultSlots   = 8
	DefaultContext = 4096
	DefaultModel   = "simulated/sim:latest"
	Version        = "0.17.4" // the Ollama that the simulation follows
)

// Config says what is simulated. The zero value of a field means its default.
type Config struct {
	Slots int // generations at once; the rest waits
	// Models are there from the beginning, each under pipeline.SimulatedModel of its name;
	// DefaultModel by default. One whose name ends in "-loop" repeats itself, in "-endless" never
	// ends.
	Models  []string
	Digest  string // of all models; each has its own by default
	Context int    // tokens of a prompt and its answer

	// TokensPerSecond says how fast each stream is while busy slots are busy; T4 by default.
	TokensPerSecond func(busy int) float64
	// Speed multiplies TokensPerSecond: with 10 an hour passes in six minutes.
	Speed float64
	// Instant makes answers come at once and whole. Slots still bound how many are worked on.
	Instant bool
	// ChunkEvery is how often a stream gets what has been made since: tokens of one interval
	// share a chunk, so that many fast streams stay cheap. Zero means a chunk for each token, as
	// Ollama does it.
	ChunkEvery time.Duration
	// Load is how long a model takes to load, the first time and after a crash.
	Load time.Duration
	// Lengths says how many tokens the answer to a prompt has; LogNormal(100, 0.6) by default.
	Lengths func(prompt string, seed int) int
}

// T4 is the speed in tokens a second of each stream of a 7B model in four bits on a T4, by
// estimate: about 36 alone, 163 with eight and 219 with sixteen together.
func T4(busy int) float64 { return 40 / (1 + 0.12*float64(busy)) }

// LogNormal returns lengths with this median, spread as answers are: sigma is the standard
// deviation of their logarithm. The same prompt and seed have the same length.
func LogNormal(median, sigma float64) func(prompt string, seed int) int {
	return func(prompt string, seed int) int {
		r := rand.New(rand.NewPCG(hash("length", prompt), uint64(seed)))
		return max(1, int(median*math.Exp(sigma*r.NormFloat64())+0.5))
	}
}

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

// ServeHTTP answers as Ollama does.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
	s.requests.Add(1)
	s.mu.Unlock()
	defer s.requests.Done()
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
	}{Version, mark{true}})
}
