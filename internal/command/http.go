package command

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"gleaner/internal/telemetry"
	"gleaner/internal/telemetry/metrics"
)

// serveHTTP serves the metrics and the health of this process until stop is called. With an empty
// address it serves nothing.
func serveHTTP(addr string, registry *prometheus.Registry, health func(context.Context) error, log *zap.Logger) (stop func(), err error) {
	if addr == "" {
		return func() {}, nil
	}
	server, err := telemetry.Listen(addr, log, health, telemetry.Handlers{"/metrics": metrics.Handler(registry)})
	if err != nil {
		return nil, err
	}
	log.Info("serving /metrics and /healthz", zap.String("addr", server.Addr()))
	return func() { _ = server.Close() }, nil
}
