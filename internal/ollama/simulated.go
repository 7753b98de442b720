package ollama

import "context"

// Simulated reports whether the server says that it is simulated: that it only pretends to have
// models.
func (c *Client) Simulated(ctx context.Context) (bool, error) {
	info, err := c.Identify(ctx)
	return info.Simulated, err
}
