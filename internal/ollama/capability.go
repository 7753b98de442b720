package ollama

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ollama/ollama/api"
	"github.com/ollama/ollama/types/model"

	"gleaner/internal/pipeline"
)

// abilities are what the description of a model says that it can do.
type abilities struct {
	says, thinks bool // as in pipeline.ModelInfo
	trained      int
}

func abilitiesOf(shown api.ShowResponse) abilities {
	return abilities{len(shown.Capabilities) > 0, slices.Contains(shown.Capabilities, model.CapabilityThinking), trainedContext(shown)}
}

// of returns what is known of a model, with its abilities.
func (a abilities) of(info pipeline.ModelInfo) pipeline.ModelInfo {
	info.SaysThinks, info.Thinks, info.Trained = a.says, a.thinks, a.trained
	return info
}

// abilities returns those of a model, for which the server is asked once for each digest. A server
// that does not answer that is asked again the next time.
func (c *Client) abilities(ctx context.Context, info pipeline.ModelInfo) abilities {
	c.models.mu.Lock()
	known, asked := c.models.able[info.Digest]
	c.models.mu.Unlock()
	if asked {
		return known
	}
	shown, err := c.show(ctx, info.Name)
	if err != nil {
		return abilities{}
	}
	known = abilitiesOf(shown)
	c.models.mu.Lock()
	if c.models.able == nil || len(c.models.able) > maxKnown { // names may stand for ever other models
		c.models.able = map[string]abilities{}
	}
	c.models.able[info.Digest] = known
	c.models.mu.Unlock()
	return known
}

// maxKnown bounds what is remembered of models.
const maxKnown = 100

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
