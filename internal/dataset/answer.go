package dataset

import (
	"fmt"
	"time"

	"gleaner/internal/pipeline"
)

// A Layout decides what the lines of an exported run look like.
type Layout struct {
	Name     string // LayoutRows or LayoutChat
	Response string // the answer's column in LayoutRows
}

// The layouts.
const (
	LayoutRows = "rows" // the row's columns as they came, then the answer and its provenance
	LayoutChat = "chat" // messages, in the form that chat fine-tuning takes, and the provenance
)

// ProvenanceColumn is the column of an exported line that holds the provenance of its answer.
const ProvenanceColumn = "gleaner"

// A MessageRenderer makes the messages of a request from a row.
type MessageRenderer interface {
	// Render returns the messages for a row, which is one JSON object.
	Render(row []byte) ([]pipeline.Message, error)
}

// A LineEncoder makes the lines of an exported run.
type LineEncoder struct {
	run      pipeline.Run
	layout   Layout
	renderer MessageRenderer
}

// NewLineEncoder returns an encoder for the answers of a run. The renderer is the one that made the
// requests of the run. The error says that the layout is not known.
func NewLineEncoder(run pipeline.Run, layout Layout, renderer MessageRenderer) (*LineEncoder, error) {
	if layout.Name != LayoutRows && layout.Name != LayoutChat {
		return nil, fmt.Errorf("layout %q: there are %s and %s", layout.Name, LayoutRows, LayoutChat)
	}
	return &LineEncoder{run, layout, renderer}, nil
}

// Line returns the line for an answer, without a line end. A generation without a result has null
// as its answer; if it failed, the provenance says why, and holds what there was of an answer that
// was cut off, since that is no answer. The error names the item, whose row has a column with a
// name that the line needs or cannot be rendered.
func (e *LineEncoder) Line(a pipeline.Answer) ([]byte, error) {
	var text any
	if a.Result != nil {
		text = a.Result.Text
	}
	source := Field{ProvenanceColumn, e.provenance(a)}
	row := a.Input
	fields := []Field{{e.layout.Response, text}, source}
	if e.layout.Name == LayoutChat {
		messages, err := e.messages(a.Input, text)
		if err != nil {
			return nil, fmt.Errorf("item %s: %w", pipeline.ItemID(e.run.Name, a.Item), err)
		}
		row, fields = []byte("{}"), []Field{{"messages", messages}, source}
	}
	line, err := Append(row, fields...)
	if err != nil {
		return nil, fmt.Errorf("item %s: %w; give the answer's column another name", pipeline.ItemID(e.run.Name, a.Item), err)
	}
	return line, nil
}

// message is one turn of a chat.
type message struct {
	Role    pipeline.Role `json:"role"`
	Content any           `json:"content"`
}

func (e *LineEncoder) messages(row []byte, answer any) ([]message, error) {
	request, err := e.renderer.Render(row)
	if err != nil {
		return nil, err
	}
	messages := make([]message, 0, len(request)+1)
	for _, m := range request {
		messages = append(messages, message{m.Role, m.Content})
	}
	return append(messages, message{pipeline.RoleAssistant, answer}), nil
}

// A provenance is where an answer comes from: the value of ProvenanceColumn.
type provenance struct {
	ID           string           `json:"id"`
	Model        string           `json:"model"`
	Simulated    bool             `json:"simulated,omitempty"` // the answer is made up
	Options      pipeline.Options `json:"options"`
	Seed         int              `json:"seed"`
	Sample       int              `json:"sample"`
	Finish       pipeline.Finish  `json:"finish,omitempty"`
	PromptTokens int              `json:"prompt_tokens,omitempty"`
	OutputTokens int              `json:"output_tokens,omitempty"`
	DurationMS   int              `json:"duration_ms,omitempty"`
	Round        int              `json:"round,omitempty"`
	Consumer     string           `json:"consumer,omitempty"`
	GPU          string           `json:"gpu,omitempty"`
	Engine       string           `json:"engine,omitempty"`
	Digest       string           `json:"digest,omitempty"` // the beginning of the model's
	CreatedAt    time.Time        `json:"created_at,omitzero"`

	// Of a generation that failed.
	Failed  pipeline.Class `json:"failed,omitempty"`
	Message string         `json:"message,omitempty"`
	Partial string         `json:"partial,omitempty"` // what there was of an answer that was cut off or is malformed
}

func (e *LineEncoder) provenance(a pipeline.Answer) provenance {
	options := e.run.Spec.Options
	options.Schema = nil // it is the run's, and may be larger than all answers
	p := provenance{
		ID:    pipeline.GenerationID(e.run.Name, a.Item, a.Sample),
		Model: e.run.Spec.Model, Simulated: e.run.Spec.Simulated, Options: options, Seed: a.Seed(e.run), Sample: a.Sample,
	}
	if r := a.Result; r != nil {
		p.Finish, p.PromptTokens, p.OutputTokens, p.DurationMS = r.Finish, r.PromptTokens, r.OutputTokens, r.DurationMS
		p.Round, p.Consumer, p.GPU, p.CreatedAt = r.Round, r.Consumer, r.GPU, r.CreatedAt
		p.Engine, p.Digest = string(r.Engine), pipeline.ShortDigest(r.Digest)
	}
	if f := a.Failure; a.Result == nil && f != nil {
		p.Failed, p.Message, p.Partial = f.Class, f.Message, f.Text
		p.PromptTokens, p.Consumer, p.GPU = f.PromptTokens, f.Judge.Consumer, f.Judge.GPU
		p.Engine, p.Digest = string(f.Engine), pipeline.ShortDigest(f.Digest)
		if f.Class == pipeline.Truncated {
			p.Finish = pipeline.FinishLength
		}
	}
	return p
}
