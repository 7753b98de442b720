// Package telemetry provides what a program reports about itself: its log, and an HTTP server for
// its health and for handlers that the program adds.
//
// It does not link Prometheus, so that the consumer stays slim. Package metrics in its folder does.
package telemetry
