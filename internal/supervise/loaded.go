package supervise

import (
	"context"

	"gleaner/internal/pipeline"
)

// Loaded returns what the server says of a model that it has loaded, if there is a server.
// Otherwise the failure is retryable.
func (s *Supervisor) Loaded(ctx context.Context, model string) (pipeline.ModelInfo, error) {
	s.mu.Lock()
	current := s.session
	s.mu.Unlock()
	if current == nil {
		return pipeline.ModelInfo{}, pipeline.Fail(pipeline.Retryable, "%s: %w", s.cfg.Name, errRestarting)
	}
	return current.server.Loaded(ctx, model)
}
