package view

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"gleaner/internal/failures"
	"gleaner/internal/pipeline"
	"gleaner/internal/text"
)

// A Previewed is a row with what is asked for it, and what a model answers.
type Previewed struct {
	Run       string       `json:"run,omitempty"` // empty: not known before a server has chosen the model
	Model     string       `json:"model,omitempty"`
	Simulated bool         `json:"simulated,omitempty"` // the answer is made up
	Row       int          `json:"row"`                 // from 1, of those that are taken
	ID        string       `json:"id,omitempty"`        // by which the user knows it
	File      string       `json:"file"`
	Line      int          `json:"line"`
	Request   ShownRequest `json:"request"`
	Reference string       `json:"reference,omitempty"`
	Answer    *Replied     `json:"answer,omitempty"` // nil: no model was asked
}

// Replied is what a model has answered, once.
type Replied struct {
	Text           string          `json:"text"` // with a failure: what there was of it
	ToolCalls      json.RawMessage `json:"tool_calls,omitempty"`
	Thinking       string          `json:"thinking,omitempty"`
	Seconds        float64         `json:"seconds"`
	InputTokens    int             `json:"input_tokens"`
	OutputTokens   int             `json:"output_tokens"`
	ThinkingTokens int             `json:"thinking_tokens,omitempty"` // about how many of the output tokens were thinking
	Finish         pipeline.Finish `json:"finish,omitempty"`
	Failure        *Failed         `json:"failure,omitempty"` // why it is no answer
}

// Failed is why there is no answer.
type Failed struct {
	Class   pipeline.Class `json:"class"`
	Brief   string         `json:"brief"`
	Message string         `json:"message"`
	Again   string         `json:"again,omitempty"` // what a run does then; empty: nothing
}

// RepliedOf returns what came of a request with these tools as it is shown.
func RepliedOf(c pipeline.Completion, tools pipeline.JSON, err error) *Replied {
	said := pipeline.AnswerMessage(c.Text, tools)
	r := &Replied{
		Text: said.Content, ToolCalls: json.RawMessage(said.ToolCalls), Thinking: c.Reasoning, Seconds: float64(c.Duration.Milliseconds()) / 1000,
		InputTokens: c.PromptTokens, OutputTokens: c.OutputTokens, ThinkingTokens: c.ThinkingTokens, Finish: c.Finish,
	}
	if err != nil {
		class := pipeline.ClassOf(err)
		r.Failure = &Failed{class, pipeline.Brief(err), failures.What(err.Error()), again(class.Rule().Retry)}
	}
	return r
}

// again says what a run does after a failure that a preview leaves as it is.
func again(retry pipeline.Retry) string {
	switch retry {
	case pipeline.RetryMoreRoom:
		return "a run tries once more, with twice the tokens"
	case pipeline.RetryNewSeed:
		return "a run tries once more, with another seed"
	case pipeline.RetryBackoff:
		return "a run tries again"
	}
	return ""
}

// PreviewHead says what holds for all rows of a preview. The server is empty if none is asked, and
// so is the run's name if it is not known; thinks says that its model does so by itself.
func PreviewHead(run pipeline.Run, server string, thinks bool, shown int) string {
	of := "all " + Plural(run.Items, "row", "rows")
	if shown < run.Items {
		of = fmt.Sprintf("%s of %s", Count(shown), Plural(run.Items, "row", "rows"))
	}
	if run.Name != "" {
		of = "run " + run.Name + ": " + of
	}
	model := "model " + text.OneLine(run.Spec.Model)
	if server != "" {
		model += " at " + server
	}
	options := run.Spec.Options
	if options.Think == pipeline.ThinkAuto { // nothing is sent
		options.Think = ""
		if thinks {
			model += ", which thinks by itself (--think off)"
		}
	}
	return fmt.Sprintf("%s of %s\n%s, %s\n\n", of, text.OneLine(run.Spec.Dataset.Name), model, text.OneLine(strings.Join(options.Flags(), ", ")))
}

// PreviewEnd sums up the answers of a preview.
func PreviewEnd(rows []Previewed) string {
	answered, in, out, seconds := 0, 0, 0, 0.0
	for _, row := range rows {
		if a := row.Answer; a != nil && a.Failure == nil {
			answered++
			in, out, seconds = in+a.InputTokens, out+a.OutputTokens, seconds+a.Seconds
		}
	}
	if answered == 0 {
		return "no row is answered\n"
	}
	each := Duration(time.Duration(seconds / float64(answered) * float64(time.Second)))
	return fmt.Sprintf("%s of %s answered; on average %s, %s in and %s out\n", Count(answered), Count(len(rows)), each, Plural(in/answered, "token", "tokens"), Count(out/answered))
}

// A PreviewStyle says how rows are shown.
type PreviewStyle struct {
	Columns int  // of the terminal
	Full    bool // long texts are not cut
	Rows    int  // of the dataset
}

// mostLines is how many lines of a text are shown, unless all are.
const mostLines = 12

// Show shows a row for people.
func (s PreviewStyle) Show(p Previewed) string {
	var b strings.Builder
	fmt.Fprintf(&b, "── %s ── %s, line %d\n", withRowID(fmt.Sprintf("row %s of %s", Count(p.Row), Count(s.Rows)), p.ID), text.OneLine(p.File), p.Line)
	var all []part
	for i, m := range p.Request.Messages {
		name := string(m.Role)
		switch {
		case m.Role == pipeline.RoleAssistant && i == len(p.Request.Messages)-1 && len(m.ToolCalls) == 0:
			name = "begins" // the answer
		case m.ToolName != "":
			name += " " + m.ToolName
		}
		if m.Content != "" || len(m.ToolCalls) == 0 {
			all = append(all, part{name, m.Content})
		}
		if len(m.ToolCalls) > 0 {
			all = append(all, part{"calls", string(m.ToolCalls)})
		}
	}
	if len(p.Request.Tools) > 0 {
		all = append(all, part{"tools", string(p.Request.Tools)})
	}
	if p.Reference != "" {
		all = append(all, part{"reference", p.Reference})
	}
	if a := p.Answer; a != nil {
		all = append(all, a.parts()...)
	}
	for _, part := range all {
		s.part(&b, part)
	}
	if p.Answer != nil {
		for _, line := range text.Fold(p.Answer.figures(), s.partColumns()) {
			fmt.Fprintf(&b, "%s   %s\n", strings.Repeat(" ", nameColumns), line)
		}
	}
	return b.String() + "\n"
}

// A part is a text of a row with what it is.
type part struct{ name, text string }

func (r *Replied) parts() (all []part) {
	if r.Thinking != "" {
		all = append(all, part{"thinking", r.Thinking})
	}
	name := "answer"
	if r.Failure != nil {
		name = "so far"
	}
	if r.Text != "" {
		all = append(all, part{name, r.Text})
	}
	if len(r.ToolCalls) > 0 {
		all = append(all, part{name, "calls " + string(r.ToolCalls)})
	}
	if f := r.Failure; f != nil {
		said := f.Message
		if f.Again != "" {
			said += " (" + f.Again + ")"
		}
		all = append(all, part{"NO ANSWER", said})
	}
	return all
}

// figures says in a line how an answer ended, and what it took.
func (r *Replied) figures() string {
	var words []string
	if f := r.Failure; f != nil {
		words = append(words, fmt.Sprintf("%s: %s", text.OneLine(string(f.Class)), text.OneLine(f.Brief)))
	} else {
		words = append(words, "ended by itself")
	}
	if r.Seconds > 0 {
		words = append(words, Duration(time.Duration(r.Seconds*float64(time.Second))))
	}
	if r.InputTokens > 0 {
		words = append(words, Plural(r.InputTokens, "token", "tokens")+" in")
	}
	if r.OutputTokens > 0 {
		words = append(words, Count(r.OutputTokens)+" out"+ofThem(r.ThinkingTokens))
	}
	return strings.Join(words, ", ")
}

// nameColumns is how wide the names of parts are.
const nameColumns = 9

// partColumns returns how wide the lines of a part may be.
func (s PreviewStyle) partColumns() int { return max(s.Columns-nameColumns-3, 20) }

// part shows a text behind its name, in lines that fit.
func (s PreviewStyle) part(b *strings.Builder, p part) {
	lines := text.Fold(strings.TrimRight(p.text, "\n"), s.partColumns())
	shown := lines
	if !s.Full && len(lines) > mostLines+1 { // one line more is no longer than saying so
		shown = lines[:mostLines]
	}
	bytes := 0
	for i, line := range shown {
		name := ""
		if i == 0 {
			name = text.Clip(text.OneLine(p.name), nameColumns)
		}
		fmt.Fprintf(b, "%-*s │ %s\n", nameColumns, name, line)
		bytes += len(line)
	}
	if left := len(lines) - len(shown); left > 0 {
		fmt.Fprintf(b, "%-*s │ … %s more, of %s bytes in all: --full shows them\n", nameColumns, "", Plural(left, "line", "lines"), Count(len(p.text)))
	}
}
