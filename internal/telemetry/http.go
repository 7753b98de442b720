package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"

	"go.uber.org/zap"
)

const (
	healthTimeout = 5 * time.Second // for one answer to /healthz
	closeTimeout  = 2 * time.Second // for the requests in progress when the server closes
)

// A Server serves the health of this process over HTTP, and what its program adds.
type Server struct {
	listener net.Listener
	server   *http.Server
	cancel   context.CancelFunc // of the context of all requests
	served   chan struct{}      // closed when the serving goroutine has ended
}

// Handlers are further handlers of a server, by path, such as "/metrics". They answer GET requests.
type Handlers map[string]http.Handler

// Listen serves until Close. /healthz answers 200 "ok", or 503 with the error that health returned;
// a nil health is always ok. Handlers may be nil. An address without a host, such as ":9090", is on
// loopback; port 0 takes a free port. An error names the address and what to do.
func Listen(addr string, log *zap.Logger, health func(context.Context) error, handlers Handlers) (*Server, error) {
	addr, err := loopback(addr)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("http address %s is in use: stop the program that holds it, or choose another port: %w", addr, err)
	}
	if err != nil {
		return nil, fmt.Errorf("http address %s: %w", addr, err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", answerHealth(health))
	for path, handler := range handlers {
		mux.Handle("GET "+path, handler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{
		listener: listener,
		server: &http.Server{
			Handler:           mux,
			ReadHeaderTimeout: 5 * time.Second,
			ErrorLog:          zap.NewStdLog(log),
			BaseContext:       func(net.Listener) context.Context { return ctx },
		},
		cancel: cancel,
		served: make(chan struct{}),
	}
	go s.serve(log)
	return s, nil
}

func (s *Server) serve(log *zap.Logger) {
	defer close(s.served)
	if err := s.server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		log.Error("health and metrics are not served any more", zap.Error(err))
	}
}

// Addr returns the address, with the actual port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close stops listening, waits a moment for the requests in progress, and returns when all
// goroutines of the server have ended.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	err := s.server.Shutdown(ctx)
	s.cancel()
	if err != nil {
		err = s.server.Close()
	}
	<-s.served
	return err
}

// loopback adds the loopback host to an address without one: the server is private by default.
func loopback(addr string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("http address %q is not allowed: use HOST:PORT, or :PORT for loopback", addr)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}

func answerHealth(health func(context.Context) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), healthTimeout)
		defer cancel()
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if health != nil {
			if err := health(ctx); err != nil {
				w.WriteHeader(http.StatusServiceUnavailable)
				fmt.Fprintln(w, err)
				return
			}
		}
		fmt.Fprintln(w, "ok")
	}
}
