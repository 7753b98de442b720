package export

import (
	"bytes"
	"fmt"
	"slices"

	"gleaner/internal/pipeline"
)

// An Encoder makes the lines of an exported run, in any layout. It belongs to one goroutine.
type Encoder struct {
	run      pipeline.Run
	config   Config
	names    Names
	renderer MessageRenderer

	options []byte // of the run, as JSON

	whole  bool     // all columns of a row are written as they stand there
	ours   []string // the names of Gleaner's columns in this layout
	fields []field  // of the present row
	halves int      // rows in which half a surrogate pair was replaced
}

// NewEncoder returns an encoder for the answers of a run. The names are those that Settle returned
// for the same settings, and the renderer is the one that made the requests of the run. The error
// says which setting is wrong.
func NewEncoder(run pipeline.Run, c Config, n Names, r MessageRenderer) (*Encoder, error) {
	c = c.withDefaults()
	if err := CheckFlags(c); err != nil {
		return nil, err
	}
	settings := run.Spec.Options
	settings.Schema = nil // it is the run's, and may be larger than all answers
	options, err := encode(settings)
	if err != nil {
		return nil, err
	}
	e := &Encoder{run: run, config: c, names: n, renderer: r, options: options}
	e.whole = len(n.Only) == 0 && len(n.Dropped) == 0 && len(n.Renamed) == 0
	for _, usual := range c.layoutColumns() {
		if usual == columnTools && n.RowTools {
			continue
		}
		e.ours = append(e.ours, n.of(usual))
	}
	for _, name := range c.fields {
		e.ours = append(e.ours, n.of(expandPrefix+name))
	}
	switch prefix := n.of(columnProvenance); c.Provenance {
	case ProvenanceNested:
		e.ours = append(e.ours, prefix)
	case ProvenanceFlat:
		for _, name := range flatColumns() {
			e.ours = append(e.ours, prefix+"_"+name)
		}
	}
	return e, nil
}

// Columns returns the names of the columns that are Gleaner's.
func (e *Encoder) Columns() []string { return slices.Clone(e.ours) }

// writes reports whether an answer gets a line. In layout rows a generation without a result gets
// one if it is known why, or if all are asked for; what trains on a chat can do nothing with it.
func (e *Encoder) writes(a pipeline.Answer) bool {
	switch {
	case a.Result != nil || e.config.Layout == LayoutOpenAIBatch:
		return true
	case e.config.Layout == LayoutRows:
		return e.config.All || a.Failure != nil
	}
	return false
}

// Line returns the line for an answer, without a line end. In layout rows a generation without a
// result has null as its answer; if it failed, the provenance says why, and holds what there was of
// an answer that was cut off, since that is no answer. The error names the item, whose row cannot
// be rendered or has a column that no one knew of when the names were settled.
func (e *Encoder) Line(a pipeline.Answer) ([]byte, error) {
	return e.append(nil, []pipeline.Answer{a})
}

// append appends the line for answers of one item: several in layout openai-batch, else one.
func (e *Encoder) append(dst []byte, answers []pipeline.Answer) ([]byte, error) {
	a := answers[0]
	line, err := e.line(dst, answers)
	if err != nil {
		return nil, fmt.Errorf("item %s: %w", pipeline.ItemID(e.run.Name, a.Item), err)
	}
	return line, nil
}

func (e *Encoder) line(dst []byte, answers []pipeline.Answer) ([]byte, error) {
	row := trimmedSpace(answers[0].Input)
	var err error
	if e.fields, err = scanStored(row, e.fields[:0]); err != nil {
		return nil, err
	}
	whole, broken := wholePairs(oneLine(row))
	if broken {
		e.halves++
	}
	if len(whole) > 0 && &whole[0] != &row[0] {
		row = whole
		e.fields = scanValid(row, e.fields[:0])
	}
	if err := e.clash(); err != nil {
		return nil, err
	}
	rowID := ""
	if e.run.Spec.ID != "" {
		if rowID, err = e.renderer.RowID(answers[0].Input); err != nil {
			return nil, err
		}
	}
	head, tail, err := e.columns(rowID, answers)
	if err != nil {
		return nil, err
	}
	start := len(dst)
	dst = append(dst, '{')
	for _, c := range head {
		dst = appendColumn(dst, start, c)
	}
	dst, tail = e.appendRow(dst, start, row, tail)
	for _, c := range slices.Concat(tail, e.provenance(answers, rowID)) {
		dst = appendColumn(dst, start, c)
	}
	return append(dst, '}'), nil
}

// clash returns an error if a column of the row has the name of one of Gleaner's.
func (e *Encoder) clash() error {
	for _, f := range e.fields {
		for _, name := range e.ours {
			if !f.is(name) || slices.Contains(e.names.Dropped, name) || e.names.Renamed[name] != "" {
				continue
			}
			if len(e.names.Only) == 0 || e.names.Others || slices.Contains(e.names.Only, name) {
				return fmt.Errorf("the row has a column %q already: give the answer's column another name", name)
			}
		}
	}
	return nil
}

// appendColumn appends a column to the object that begins at start.
func appendColumn(dst []byte, start int, c column) []byte {
	dst = appendText(separate(dst, start), c.name)
	return append(append(dst, ": "...), c.value...)
}

// separate appends what stands between two columns.
func separate(dst []byte, start int) []byte {
	if len(dst) == start+1 {
		return dst
	}
	return append(dst, ", "...)
}

// appendRow appends the row's own columns. It returns which of Gleaner's are still to be written:
// one that replaces a column of the row has its position.
func (e *Encoder) appendRow(dst []byte, start int, row []byte, tail []column) ([]byte, []column) {
	if e.whole {
		inner := bytes.TrimRight(row[1:len(row)-1], whitespace)
		if len(dst) > start+1 {
			inner = bytes.TrimLeft(inner, whitespace)
		}
		if len(inner) > 0 {
			dst = append(separate(dst, start), inner...)
		}
		return dst, tail
	}
	if len(e.names.Only) == 0 || e.names.Others {
		for _, f := range e.fields {
			dst, tail = e.appendField(dst, start, f, tail)
		}
		return dst, tail
	}
	for _, name := range e.names.Only {
		for _, f := range e.fields {
			if f.is(name) {
				dst, tail = e.appendField(dst, start, f, tail)
			}
		}
	}
	return dst, tail
}

// appendField appends a column of the row, unless it is left out, or what replaces it.
func (e *Encoder) appendField(dst []byte, start int, f field, tail []column) ([]byte, []column) {
	if slices.ContainsFunc(e.names.Dropped, f.is) {
		for i, c := range tail {
			if f.is(c.name) {
				return appendColumn(dst, start, c), slices.Delete(slices.Clone(tail), i, i+1)
			}
		}
		return dst, tail
	}
	dst = separate(dst, start)
	if to, ok := e.names.Renamed[f.text()]; ok && len(e.names.Renamed) > 0 {
		dst = appendText(dst, to)
	} else {
		dst = append(dst, f.name...)
	}
	return append(append(dst, ": "...), f.value...), tail
}

// provenance returns the columns that say where the answers come from.
func (e *Encoder) provenance(answers []pipeline.Answer, rowID string) []column {
	if e.config.Provenance == ProvenanceNone {
		return nil
	}
	name, from := e.names.of(columnProvenance), source{&e.run, e.options, rowID}
	if e.run.Spec.Samples > 1 && e.config.Layout == LayoutOpenAIBatch {
		list := []byte{'['}
		for i, a := range answers {
			if i > 0 {
				list = append(list, ',')
			}
			list = from.appendProvenance(list, a)
		}
		return []column{{name, append(list, ']')}}
	}
	value := from.appendProvenance(make([]byte, 0, 512), answers[0])
	if e.config.Provenance == ProvenanceFlat {
		return flat(value, name, flatParts{
			rowIDs: e.run.Spec.ID != "", thinking: e.config.Thought != nil,
			failures: e.config.Layout == LayoutRows && (e.config.All || answers[0].Failure != nil),
		})
	}
	return []column{{name, value}}
}
