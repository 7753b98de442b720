// Package export turns the answers of a run into files that people train on: JSON Lines, a JSON
// array, CSV, TSV, Parquet, or a folder of Parquet shards with a dataset card.
package export

import (
	"cmp"

	"gleaner/internal/pipeline"
)

// The layouts: what a line looks like. In each of them the row's columns stay.
const (
	LayoutRows             = "rows"              // the row's columns as they came, then the answer
	LayoutChat             = "chat"              // messages of role and content, as chat fine-tuning takes them
	LayoutShareGPT         = "sharegpt"          // conversations of from and value
	LayoutAlpaca           = "alpaca"            // instruction, input, output
	LayoutPromptCompletion = "prompt-completion" // prompt, completion
	LayoutOpenAIBatch      = "openai-batch"      // the answer file of OpenAI's batch API
)

// Layouts returns the names of the layouts, the usual one first.
func Layouts() []string {
	return []string{LayoutRows, LayoutChat, LayoutShareGPT, LayoutAlpaca, LayoutPromptCompletion, LayoutOpenAIBatch}
}

// How the provenance of an answer is written.
const (
	ProvenanceNested = "nested" // an object in the column gleaner
	ProvenanceFlat   = "flat"   // columns gleaner_id, gleaner_model, …
	ProvenanceNone   = "none"   // not at all
)

// Where the thinking of a model goes.
const (
	ReasoningColumn = "column" // reasoning, or reasoning_content in a chat's last message
	ReasoningInline = "inline" // in front of the answer, in <think>
)

// Config says what to write and where. The zero value of a field means the default.
type Config struct {
	Out           string   // a file, a folder, or - for the standard output
	Layout        string   // LayoutRows
	ResponseField string   // the answer's column; "": the layout's own, as settled
	Columns       string   // a,b=new,-c: which of the row's columns are written, and under which name
	Replace       string   // columns of the row, separated by commas, that Gleaner's take over
	Provenance    string   // ProvenanceNested
	Reasoning     string   // ReasoningColumn
	CSVSafe       bool     // texts that a spreadsheet would run as formulas get a ' in front
	All           bool     // layout rows: generations without an answer are written, with null
	OwnName       bool     // Out is a name that Gleaner chose, in a folder of its own
	Force         bool     // what Gleaner did not write is overwritten; never an input
	Expand        bool     // the fields of answers that fit the run's schema become columns, too
	Field         string   // the column that is the prompt, if one is
	Chats         bool     // a request may have more than one message
	FromChats     bool     // the rows hold chats, which may have tools and end with an answer
	Inputs        []string // files and folders that are never overwritten, also not through links

	// Thought returns the thinking that belongs to an answer. Nil if the run has none.
	Thought func(pipeline.Answer) string
	// MayThink says that thinking was left to the model, so its column is there where it thought.
	MayThink bool
	// Version is that of the program, for the card.
	Version string

	fields []string // that become columns
}

// For returns the settings for a run: with what its spec says about the requests and the answers,
// and its defaults. The error says what is asked for that the run does not have.
func (c Config) For(spec pipeline.Spec) (Config, error) {
	c.Layout = cmp.Or(c.Layout, spec.Layout)
	if c.ResponseField == "" && c.Replace == "" && hasResponseField(cmp.Or(c.Layout, LayoutRows)) {
		c.ResponseField = spec.ResponseField
	}
	c.Field, c.Chats, c.FromChats = spec.Field, c.Chats || spec.Chats || spec.System != "", spec.Chats
	if think := spec.Options.Think; !think.IsOff() {
		c.Thought, c.MayThink = reasoningOf, !think.IsAsked()
	}
	if !c.Expand {
		return c, nil
	}
	var err error
	c.fields, err = expandable(spec.Options.Schema)
	return c, err
}

// hasResponseField reports whether the answer's column of a layout may have another name.
func hasResponseField(layout string) bool {
	return layout == LayoutRows || layout == LayoutAlpaca || layout == LayoutPromptCompletion
}

func reasoningOf(a pipeline.Answer) string { return a.Result.Reasoning }

// A MessageRenderer makes the messages of a request from a row, and knows its id.
type MessageRenderer interface {
	// Request returns the request for a row, which is one JSON object.
	Request(row []byte) (pipeline.Rendered, error)
	// RowID returns the id by which the user knows a row; empty: the run names no column for it.
	RowID(row []byte) (string, error)
}

// withDefaults returns the settings with the defaults filled in.
func (c Config) withDefaults() Config {
	for value, standard := range map[*string]string{
		&c.Layout: LayoutRows, &c.Provenance: ProvenanceNested, &c.Reasoning: ReasoningColumn,
	} {
		if *value == "" {
			*value = standard
		}
	}
	return c
}
