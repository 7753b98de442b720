package ollama

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ollama/ollama/types/model"

	"gleaner/internal/pipeline"
)

// withoutTools returns a failure if the request tells of calls, offers no tools, and its model has
// no place for calls in its template: there Ollama leaves them out without a word, and what the
// tools returned, too. Where tools are offered the server says itself that the model has none.
func (c *Client) withoutTools(ctx context.Context, req pipeline.Request) *pipeline.Failure {
	if req.Tools != "" || !req.UsesTools() {
		return nil
	}
	c.models.mu.Lock()
	knows, asked := c.models.tools[req.Model]
	c.models.mu.Unlock()
	if !asked {
		shown, err := c.show(ctx, req.Model)
		if err != nil {
			return nil // the request itself meets the same
		}
		// A server that does not list what a model can do is taken at its word once it answers.
		knows = len(shown.Capabilities) == 0 || slices.Contains(shown.Capabilities, model.CapabilityTools)
		c.models.mu.Lock()
		if c.models.tools == nil {
			c.models.tools = map[string]bool{}
		}
		c.models.tools[req.Model] = knows
		c.models.mu.Unlock()
	}
	if knows {
		return nil
	}
	return noTools(fmt.Sprintf("generate with model %s on %s", req.Model, c.URL()), errors.New("the chat has calls of tools, and this model does not support tools"))
}
