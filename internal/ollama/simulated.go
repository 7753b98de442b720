package ollama

import (
	"context"
	"net/http"
)

// Simulated reports whether the server says that it is simulated: that it only pretends to have
// models.
func (c *Client) Simulated(ctx context.Context) (bool, error) {
	var v struct {
		Simulated bool `json:"simulated"`
	}
	err := c.quick(ctx, http.MethodGet, "/api/version", nil, &v)
	return v.Simulated, err
}
