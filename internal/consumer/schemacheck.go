package consumer

import (
	"encoding/json"
	"sync"

	"gleaner/internal/pipeline"
	"gleaner/internal/schema"
)

// A schemaCheck says whether answers fit the schema of their run. It keeps the last schema, which
// is that of all batches of a run but for redriven ones.
type schemaCheck struct {
	mu     sync.Mutex
	text   string
	schema *schema.Schema
	err    error
}

// Of returns the schema that a text describes, or nil if there is none. A schema that this program
// cannot read is Fatal: the one that loaded the run could, so it was another version.
func (c *schemaCheck) Of(text json.RawMessage) (*schema.Schema, error) {
	if len(text) == 0 {
		return nil, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.text != string(text) {
		c.text = string(text)
		c.schema, c.err = schema.Parse(text)
	}
	if c.err != nil {
		return nil, pipeline.Fail(pipeline.Fatal, "the schema of the run cannot be used here: %w: is this consumer older than the producer?", c.err)
	}
	return c.schema, nil
}

// fit returns an answer without what stands around its JSON, or a Malformed failure. An answer that
// failed for another reason, or that needs to fit nothing, stays as it is.
func fit(want *schema.Schema, a attempt) attempt {
	if want == nil || a.err != nil {
		return a
	}
	repaired, err := want.Check(a.completion.Text)
	if err != nil {
		a.err = pipeline.Fail(pipeline.Malformed, "%w", err)
		return a
	}
	a.completion.Text = repaired
	return a
}

// withoutSchema returns a request whose answer may be any text. It says more about a server: what
// has to fit a schema may be cut off, or be nothing but white space.
func withoutSchema(request pipeline.Request) pipeline.Request {
	request.Options.Schema = nil
	return request
}
