package supervise

import (
	"context"

	"gleaner/internal/pipeline"
)

// A Server is a model server that was started for one GPU. Its errors have a class, see
// pipeline.ClassOf.
type Server interface {
	ServerProcess

	// Generate answers one request.
	Generate(ctx context.Context, request pipeline.Request) (pipeline.Completion, error)
	// FetchModel gets the model if it is not there, and reports whether that was necessary.
	// Progress is called often.
	FetchModel(ctx context.Context, model string, progress func(status string, done, total int64)) (bool, error)
	// WarmUp loads the model.
	WarmUp(ctx context.Context, model string) error
	// Loaded describes the loaded model.
	Loaded(ctx context.Context, model string) (pipeline.ModelInfo, error)
	// Ping returns nil if the server answers.
	Ping(ctx context.Context) error
	// Chunks returns how many pieces of answers have come in all.
	Chunks() int64
}

// A ServerProcess is what a Server is to the operating system.
type ServerProcess interface {
	// WaitReady waits until the server answers for the first time. It fails if the process exits
	// instead, or takes too long.
	WaitReady(ctx context.Context) error
	// Exited returns a channel that is closed when the process has exited.
	Exited() <-chan struct{}
	// ExitError tells how the process exited. It may be called once Exited is closed.
	ExitError() error
	// Stop ends the process and everything that it started, and returns when nothing of it is left.
	Stop() error
	// Log returns the last lines that the process wrote.
	Log() []string
}
