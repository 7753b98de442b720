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
	healthTimeout = 5 * time.Second // for one look at the health
	closeTimeout  = 2 * time.Second // for the requests that are being answered when the server closes
)

// An HTTP serves the health of this process, and its metrics.
type HTTP struct {
	listener net.Listener
	server   *http.Server
	cancel   context.CancelFunc // of the context of all requests
	served   chan struct{}      // closed when the serving goroutine has ended
}

// Listen serves until Close: /healthz answers 200 "ok", or 503 with what health returned;
// /metrics exists if metrics is not nil. An address without a host, as ":9090", is on loopback;
// port 0 takes a free one.
func Listen(addr string, metrics http.Handler, health func(context.Context) error, log *zap.Logger) (*HTTP, error) {
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
	if metrics != nil {
		mux.Handle("GET /metrics", metrics)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h := &HTTP{
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
	go h.serve(log)
	return h, nil
}

func (h *HTTP) serve(log *zap.Logger) {
	defer close(h.served)
	if err := h.server.Serve(h.listener); !errors.Is(err, http.ErrServerClosed) {
		log.Error("health and metrics are not served any more", zap.Error(err))
	}
}

// Addr returns the address, with the port that was taken.
func (h *HTTP) Addr() string { return h.listener.Addr().String() }

// Close stops listening, gives requests a moment to be answered, and returns when nothing of the
// server is left.
func (h *HTTP) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	err := h.server.Shutdown(ctx)
	h.cancel()
	if err != nil {
		err = h.server.Close()
	}
	<-h.served
	return err
}

// loopback puts an address without a host on loopback: what is served is not for everybody.
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
