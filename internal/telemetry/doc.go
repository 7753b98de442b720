// Package telemetry makes what a program says of itself: its log, and a small HTTP server for its
// health and metrics.
//
// It does not link Prometheus: what does is in its folder metrics, so that the consumer stays
// slim.
package telemetry
