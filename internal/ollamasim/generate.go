package ollamasim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ollama/ollama/api"
)

// The texts of Ollama's errors.
const (
	textTooLong = "the input length exceeds the context length"
	textFailed  = "model failed to load, this may be due to resource limitations or an internal error, check ollama server logs for details"
	textBusy    = "server busy, please try again.  maximum pending requests exceeded"
	textStopped = "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error, check ollama server logs for details"
	textCrashed = "an error was encountered while running the model: unexpected EOF"
)

const (
	clientGone   = 499 // the status of a request whose client has gone; no one reads it
	defaultLimit = 10  // times the context: where Ollama ends an answer without num_predict
	repeatLimit  = 31  // equal tokens that Ollama sends before it aborts an answer
)

// errCrashed is the cause with which a runner ends.
var errCrashed = errors.New("the runner crashed")

// A request is what both generating calls have in common.
type request struct {
	Model    string `json:"model"`
	Messages []struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	} `json:"messages"`
	System    string          `json:"system"`
	Prompt    string          `json:"prompt"`
	Stream    *bool           `json:"stream"`
	Think     any             `json:"think"`
	Truncate  *bool           `json:"truncate"`
	Shift     *bool           `json:"shift"`
	KeepAlive json.RawMessage `json:"keep_alive"`
	Options   map[string]any  `json:"options"`

	text func(req *request, text string, end *api.Metrics, reason string) any // makes a line of the answer
	load bool                                                                 // only the model is to be loaded
}

func (s *Server) chat(w http.ResponseWriter, r *http.Request) {
	var req request
	if !readRequest(w, r, &req) {
		return
	}
	var prompt strings.Builder
	for _, m := range req.Messages {
		if prompt.Len() > 0 {
			prompt.WriteByte('\n')
		}
		prompt.WriteString(m.Content)
	}
	req.Prompt, req.load, req.text = prompt.String(), len(req.Messages) == 0, chatLine
	s.answer(w, r, &req)
}

func (s *Server) generate(w http.ResponseWriter, r *http.Request) {
	var req request
	if !readRequest(w, r, &req) {
		return
	}
	req.load, req.text = req.Prompt == "", generateLine
	if req.System != "" {
		req.Prompt = req.System + "\n" + req.Prompt
	}
	s.answer(w, r, &req)
}

func chatLine(req *request, text string, end *api.Metrics, reason string) any {
	line := api.ChatResponse{Model: req.Model, CreatedAt: time.Now().UTC(), Message: api.Message{Role: "assistant", Content: text}}
	if end != nil {
		line.Done, line.DoneReason, line.Metrics = true, reason, *end
	}
	return line
}

func generateLine(req *request, text string, end *api.Metrics, reason string) any {
	line := api.GenerateResponse{Model: req.Model, CreatedAt: time.Now().UTC(), Response: text}
	if end != nil {
		line.Done, line.DoneReason, line.Metrics = true, reason, *end
	}
	return line
}

// answer checks a request as Ollama does, and in the same order, and has it generated.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, req *request) {
	start := time.Now()
	m, ok := s.find(req.Model)
	switch {
	case req.Model == "" || strings.ContainsAny(req.Model, " \t"):
		fail(w, http.StatusBadRequest, "model is required")
		return
	case !ok:
		fail(w, http.StatusNotFound, fmt.Sprintf("model '%s' not found", req.Model))
		return
	case req.load && isZero(req.KeepAlive):
		s.unload(m.name)
		reply(w, http.StatusOK, req.text(req, "", &api.Metrics{}, "unload"))
		return
	case req.Think != nil && req.Think != false:
		fail(w, http.StatusBadRequest, fmt.Sprintf("%q does not support thinking", req.Model))
		return
	}
	opts, err := readOptions(req.Options)
	if err != nil {
		fail(w, http.StatusInternalServerError, err.Error())
		return
	}
	fault := Fault{}
	if !req.load {
		s.count(func(st *Stats) { st.Requests++ })
		if fault = s.faults.next(req.Prompt); fault.Kind != "" {
			s.count(func(st *Stats) { st.Faulty++ })
		}
	}
	switch fault.Kind {
	case Refuse:
		panic(http.ErrAbortHandler)
	case Busy:
		fail(w, http.StatusServiceUnavailable, textBusy)
		return
	case Fail:
		fail(w, http.StatusInternalServerError, textFailed)
		return
	}
	if s.load(r.Context(), m.name) != nil {
		fail(w, clientGone, "request canceled")
		return
	}
	if req.load {
		reply(w, http.StatusOK, req.text(req, "", &api.Metrics{}, "load"))
		return
	}
	p := s.plan(req, m, opts, fault)
	if p.promptTokens > s.cfg.Context {
		if req.Truncate != nil && !*req.Truncate {
			fail(w, http.StatusBadRequest, textTooLong)
			return
		}
		p.promptTokens = s.cfg.Context
	}
	s.generateOn(w, r, req, p, start)
}

// A plan is an answer before its tokens are made.
type plan struct {
	promptTokens int
	tokens       []string
	made         int    // tokens that the model makes; the one that ends an answer is counted but has no text
	reason       string // why it ends; empty if it never gets there
	fault        Fault
}

// plan makes up the whole answer in advance: nothing in it depends on time.
func (s *Server) plan(req *request, m modelInfo, o options, fault Fault) plan {
	p := plan{promptTokens: countTokens(req.Prompt), fault: fault}
	limit := defaultLimit * s.cfg.Context
	if o.numPredict > 0 {
		limit = min(limit, o.numPredict)
	}
	if req.Shift != nil && !*req.Shift {
		limit = max(1, min(limit, s.cfg.Context-p.promptTokens+1))
	}
	seed := o.seed
	if seed < 0 {
		seed = rand.IntN(1 << 31)
	}
	kind := fault.Kind
	switch name := base(m.name); {
	case kind == "" && strings.HasSuffix(name, "-loop"):
		kind = Loop
	case kind == Empty:
		p.made, p.reason = 1, "stop"
		return p
	}
	endless := strings.HasSuffix(base(m.name), "-endless")
	length := limit
	if !endless {
		length = min(max(1, s.cfg.Lengths(req.Prompt, seed)), defaultLimit*s.cfg.Context)
	}
	p.tokens, p.made, p.reason = write(req.Prompt, seed, length, endless), length+1, "stop"
	if length >= limit { // also where the end would have been the next token
		p.tokens, p.made, p.reason = p.tokens[:limit], limit, "length"
	}
	p.stopAt(o.stop)
	switch kind {
	case Loop:
		n := min(fault.After, len(p.tokens))
		p.tokens = append(slices.Clip(p.tokens[:n]), slices.Repeat([]string{" the"}, repeatLimit)...)
		p.made, p.reason, p.fault = len(p.tokens), "", Fault{Kind: Loop}
	case Hang, Crash, Cut:
		p.made = min(fault.After, len(p.tokens))
		p.tokens, p.reason = p.tokens[:p.made], ""
	}
	return p
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

// generateOn waits for a slot, makes the answer at the GPU's speed and sends it.
func (s *Server) generateOn(w http.ResponseWriter, r *http.Request, req *request, p plan, start time.Time) {
	loaded := time.Now()
	slot, err := s.gpu.Acquire(r.Context())
	if err != nil {
		s.count(func(st *Stats) { st.Cancelled++ })
		fail(w, clientGone, "request canceled")
		return
	}
	defer slot.Release()
	began := time.Now()
	s.mu.Lock()
	on := s.runner
	s.mu.Unlock()
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	defer context.AfterFunc(on.ctx, func() { cancel(errCrashed) })()

	stream := req.Stream == nil || *req.Stream
	out := newLines(w)
	if err := s.makeTokens(ctx, slot, req, p, out, stream); err != nil {
		s.end(ctx, w, out)
		return
	}
	switch p.fault.Kind {
	case Hang:
		<-ctx.Done()
		s.end(ctx, w, out)
		return
	case Crash:
		s.crash(on)
		<-ctx.Done()
		s.end(ctx, w, out)
		return
	case Cut:
		panic(http.ErrAbortHandler)
	}
	if p.reason == "" { // the repeat abort: the stream ends without an error
		if !stream {
			reply(w, http.StatusOK, req.text(req, strings.Join(p.tokens, ""), nil, ""))
		}
		return
	}
	metrics := &api.Metrics{TotalDuration: time.Since(start), LoadDuration: loaded.Sub(start), PromptEvalCount: p.promptTokens,
		PromptEvalDuration: time.Millisecond, EvalCount: p.made, EvalDuration: time.Since(began)}
	s.count(func(st *Stats) { st.Answers++; st.Tokens += p.made })
	if stream {
		out.write(req.text(req, "", metrics, p.reason))
		return
	}
	reply(w, http.StatusOK, req.text(req, strings.Join(p.tokens, ""), metrics, p.reason))
}

// makeTokens waits until each token is made and, in a stream, sends it.
func (s *Server) makeTokens(ctx context.Context, slot *Slot, req *request, p plan, out *lines, stream bool) error {
	if !stream || s.cfg.Instant && p.fault.Kind == "" {
		if err := slot.Wait(ctx, p.made); err != nil {
			return err
		}
		if stream && len(p.tokens) > 0 {
			out.write(req.text(req, strings.Join(p.tokens, ""), nil, ""))
		}
		return nil
	}
	for sent := 0; sent < len(p.tokens); {
		next := sent + 1
		if p.fault.Kind != Loop { // whose tokens have to be seen one by one
			next = min(len(p.tokens), max(next, sent+slot.Soon(s.cfg.ChunkEvery)))
		}
		if err := slot.Wait(ctx, next); err != nil {
			return err
		}
		out.write(req.text(req, strings.Join(p.tokens[sent:next], ""), nil, ""))
		out.flush()
		sent = next
	}
	return slot.Wait(ctx, p.made)
}

// end answers a request that was ended early: by its client, which does not read the answer, or by
// a crash.
func (s *Server) end(ctx context.Context, w http.ResponseWriter, out *lines) {
	switch {
	case !errors.Is(context.Cause(ctx), errCrashed):
		s.count(func(st *Stats) { st.Cancelled++ })
		panic(http.ErrAbortHandler)
	case out.written:
		out.write(map[string]string{"error": textCrashed})
	default:
		fail(w, http.StatusInternalServerError, textStopped)
	}
}

// crash ends a runner and everything on it. The next request gets a new one, and the model has to
// be loaded again.
func (s *Server) crash(on *runner) {
	s.mu.Lock()
	if s.runner == on {
		s.runner = newRunner()
		clear(s.loaded)
	}
	s.mu.Unlock()
	on.crash(errCrashed)
}

// isZero reports whether a keep_alive is zero: "0", 0 or "0s".
func isZero(keepAlive json.RawMessage) bool {
	return slices.Contains([]string{"0", `"0"`, `"0s"`}, string(keepAlive))
}
