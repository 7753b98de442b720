package export

import (
	"slices"
	"strconv"
	"time"

	"gleaner/internal/pipeline"
)

// A source is what the answers to one row have in common.
type source struct {
	run     *pipeline.Run
	options []byte // of the run, as JSON
	rowID   string // by which the user knows the row; may be empty
}

// appendProvenance appends where an answer comes from, as a JSON object. It is written by hand,
// since it is half of the work of an export.
func (s source) appendProvenance(dst []byte, a pipeline.Answer) []byte {
	run := s.run
	o := object{append(dst, '{')}
	o.text("id", pipeline.GenerationID(run.Name, a.Item, a.Sample))
	o.text(provenanceRow, s.rowID)
	o.raw("model", nil)
	o.dst = appendText(o.dst, run.Spec.Model)
	if run.Spec.Simulated { // the answer is made up
		o.raw("simulated", []byte("true"))
	}
	o.raw("options", s.options)
	o.raw("seed", nil)
	o.dst = strconv.AppendInt(o.dst, int64(a.Seed(*run)), 10)
	o.raw("sample", nil)
	o.dst = strconv.AppendInt(o.dst, int64(a.Sample), 10)
	if r := a.Result; r != nil {
		o.text("finish", string(r.Finish))
		o.number("prompt_tokens", r.PromptTokens)
		o.number("output_tokens", r.OutputTokens)
		o.number(provenanceThinking, r.ThinkingTokens)
		o.number("duration_ms", r.DurationMS)
		o.number("round", r.Round)
		o.text("consumer", r.Consumer)
		o.text("gpu", r.GPU)
		o.text("engine", string(r.Engine))
		o.text("digest", pipeline.ShortDigest(r.Digest)) // the beginning of the model's
		if !r.CreatedAt.IsZero() {
			o.raw("created_at", nil)
			o.dst = append(r.CreatedAt.AppendFormat(append(o.dst, '"'), time.RFC3339Nano), '"')
		}
	} else if f := a.Failure; f != nil {
		if f.Class == pipeline.Truncated {
			o.text("finish", string(pipeline.FinishLength))
		}
		o.number("prompt_tokens", f.PromptTokens)
		o.text("consumer", f.Judge.Consumer)
		o.text("gpu", f.Judge.GPU)
		o.text("engine", string(f.Engine))
		o.text("digest", pipeline.ShortDigest(f.Digest))
		o.text("failed", string(f.Class))
		o.text("message", f.Message)
		o.text("partial", f.Text) // what there was of an answer that was cut off
	}
	return append(o.dst, '}')
}

// An object is a JSON object that is being written. What is empty or 0 is left out.
type object struct{ dst []byte }

func (o *object) raw(name string, value []byte) {
	if o.dst[len(o.dst)-1] != '{' {
		o.dst = append(o.dst, ',')
	}
	o.dst = append(append(append(append(o.dst, '"'), name...), `":`...), value...)
}

func (o *object) text(name, text string) {
	if text != "" {
		o.raw(name, nil)
		o.dst = appendText(o.dst, text)
	}
}

func (o *object) number(name string, n int) {
	if n != 0 {
		o.raw(name, nil)
		o.dst = strconv.AppendInt(o.dst, int64(n), 10)
	}
}

// flatColumns returns the ends of the names that a flat provenance has, in their order.
func flatColumns() []string {
	return append([]string{"id", provenanceRow, "model", "simulated", "options", "seed", "sample", "finish", "prompt_tokens", "output_tokens",
		provenanceThinking, "duration_ms", "round", "consumer", "gpu", "engine", "digest", "created_at"}, failedColumns()...)
}

// provenanceRow is the id by which the user knows the row. Only a run that names a column for it
// has that.
const provenanceRow = "row"

// provenanceThinking is about how many of the output tokens were thinking.
const provenanceThinking = "thinking_tokens"

// failedColumns returns those that only a generation without an answer has.
func failedColumns() []string { return []string{"failed", "message", "partial"} }

// flatParts says which columns a flat provenance has that not every run needs.
type flatParts struct{ rowIDs, thinking, failures bool }

// flat returns a provenance as columns of their own, in the same order in every line. What is not
// known is null, so that each reader finds all of them in the first line. The options are one text
// of JSON: their names change with what is asked for.
func flat(nested []byte, prefix string, has flatParts) []column {
	names := flatColumns()
	if !has.failures {
		names = names[:len(names)-len(failedColumns())]
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		return name == provenanceRow && !has.rowIDs || name == provenanceThinking && !has.thinking
	})
	fields := scanValid(nested, nil)
	columns := make([]column, 0, len(names))
	for _, name := range names {
		c := column{prefix + "_" + name, []byte("null")}
		for _, f := range fields {
			if !f.is(name) {
				continue
			}
			if c.value = f.value; name == "options" {
				c.value = appendText(nil, string(f.value))
			}
		}
		if name == "simulated" && string(c.value) == "null" {
			c.value = []byte("false")
		}
		columns = append(columns, c)
	}
	return columns
}
