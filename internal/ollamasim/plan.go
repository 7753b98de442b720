package ollamasim

import (
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/ollama/ollama/api"
)

const (
	defaultLimit = 10 // times the context: where Ollama ends an answer without num_predict
	repeatLimit  = 31 // equal tokens that Ollama sends before it aborts an answer
)

// A plan is an answer before its tokens are made.
type plan struct {
	promptTokens int
	limit        int // of the tokens that are made
	wait         time.Duration
	tokens       []string
	thoughts     int      // how many of the tokens are thoughts
	again        []string // what comes after the tokens again and again, for ever
	single       bool     // each token is a chunk of its own
	made         int      // tokens that the model makes; the one that ends an answer is counted but has no text
	counted      int      // what the answer's end says of them, where that is something else
	done         bool     // the stream comes to its end
	reason       string   // why it ends
	kind         FaultKind

	tools []api.Tool     // that the request offers
	calls []api.ToolCall // with which the answer ends
}

// newPlan makes up the whole answer in advance: nothing in it depends on time.
func newPlan(cfg *Config, req *request, o options, fault Fault) plan {
	p := plan{promptTokens: countTokens(req.Prompt), done: true, kind: fault.Kind, tools: req.Tools}
	p.limit = defaultLimit * cfg.Context
	if o.numPredict > 0 {
		p.limit = min(p.limit, o.numPredict)
	}
	if req.Shift != nil && !*req.Shift {
		p.limit = max(1, min(p.limit, cfg.Context-p.promptTokens+1))
	}
	seed := o.seed
	if seed < 0 {
		seed = rand.IntN(1 << 31)
	}
	if fault.Kind == "" && strings.HasSuffix(base(req.Model), "-loop") {
		fault.Kind = Loop
	}
	endless := strings.HasSuffix(base(req.Model), "-endless")
	length := p.limit
	if !endless {
		length = min(max(1, cfg.Lengths(req.Prompt, seed)), defaultLimit*cfg.Context)
	}
	thinks := canThink(req.Model) && req.Think != false
	if isFormat(req.Format) && !endless {
		p.tokens = writeJSON(req.Prompt, seed, req.Format)
		if thinks { // in words
			thoughts := write(req.Prompt, seed, (length+1)/2, false)
			p.thoughts, p.tokens = len(thoughts), append(thoughts, p.tokens...)
		}
		length = len(p.tokens)
	} else {
		p.tokens = write(req.Prompt, seed, length, endless)
	}
	p.made, p.reason = length+1, "stop"
	if length >= p.limit { // also where the end would have been the next token
		p.tokens, p.made, p.reason = p.tokens[:p.limit], p.limit, "length"
	}
	if req.prefill != "" && strings.TrimRight(req.prefill, " \t\n") == req.prefill && len(p.tokens) > 0 {
		p.tokens[0] = " " + p.tokens[0] // it goes on within a line
	}
	p.stopAt(o.stop)
	if thinks && p.thoughts == 0 {
		p.thoughts = (len(p.tokens) + 1) / 2
	}
	p.thoughts = min(p.thoughts, len(p.tokens))
	if change := effects()[fault.Kind].answer; change != nil {
		change(&p, fault)
	}
	if p.counted == 0 {
		p.counted = p.made
	}
	return p
}

// forEver lets these tokens follow the others again and again.
func (p *plan) forEver(tokens []string) {
	if len(tokens) == 0 { // a stop sequence left nothing
		tokens = []string{" on"}
	}
	p.again, p.made, p.single = tokens, math.MaxInt, true
}

// has reports whether there is a token with this number, counted from 0.
func (p *plan) has(i int) bool { return i < len(p.tokens) || len(p.again) > 0 }

// say returns what a chunk with these tokens says.
func (p *plan) say(from, to int) (s said) {
	if len(p.again) > 0 && from >= len(p.tokens) {
		s.text = p.again[(from-len(p.tokens))%len(p.again)]
		return s
	}
	thoughts := max(from, min(to, p.thoughts))
	return said{thinking: strings.Join(p.tokens[from:thoughts], ""), text: strings.Join(p.tokens[thoughts:to], "")}
}

// stopAt ends the answer before the first of the stop sequences.
func (p *plan) stopAt(stop []string) {
	if len(stop) == 0 {
		return
	}
	text := strings.Join(p.tokens, "")
	first, end := -1, 0
	for _, s := range stop {
		if i := strings.Index(text, s); s != "" && i >= 0 && (first < 0 || i < first) {
			first, end = i, i+len(s)
		}
	}
	if first < 0 {
		return
	}
	length, kept := 0, 0
	for i, t := range p.tokens {
		before := length
		length += len(t)
		if before < first {
			kept, p.tokens[i] = i+1, t[:min(len(t), first-before)]
		}
		if length >= end { // here the model has completed the sequence
			p.made = i + 1
			break
		}
	}
	p.tokens = p.tokens[:kept]
	p.reason = "stop"
}
