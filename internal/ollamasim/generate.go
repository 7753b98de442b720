package ollamasim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/ollama/ollama/api"

	"gleaner/internal/outage"
)

// clientGone is the status of a request whose client has gone; no one reads it.
const clientGone = 499

// errCrashed is the cause with which a runner ends.
var errCrashed = errors.New("the runner crashed")

func (s *Server) chat(w http.ResponseWriter, r *http.Request) {
	var req request
	if !readRequest(w, r, &req) {
		return
	}
	req.readChat()
	req.load, req.text = len(req.Messages) == 0, chatLine
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
		reply(w, http.StatusOK, req.text(req, said{end: &api.Metrics{}, reason: "unload"}))
		return
	}
	if problem := cmp.Or(badThink(req, m.name), badFormat(req.Format), badTools(req, m.name)); problem != "" {
		fail(w, http.StatusBadRequest, problem)
		return
	}
	opts, err := readOptions(req.Options)
	if err != nil {
		fail(w, http.StatusInternalServerError, err.Error())
		return
	}
	x := exchange{s: s, cfg: s.config(), w: w, r: r, req: req, start: start, out: newLines(w), stream: req.Stream == nil || *req.Stream}
	fault := Fault{}
	if !req.load {
		s.count(func(st *Stats) { st.Requests++ })
		if fault = s.faults.next(req.Prompt); fault.Kind != "" {
			s.count(func(st *Stats) { st.Faulty++ })
		}
		if x.cfg.Watch != nil {
			x.seen = Exchange{Prompt: req.Prompt, Fault: fault.Kind}
			defer func() { x.cfg.Watch(x.seen) }()
		}
	}
	if instead := effects()[fault.Kind].instead; instead != nil {
		instead(w, r, fault)
		return
	}
	loaded, err := s.load(r.Context(), m.name, req.Shift == nil || *req.Shift)
	if err != nil {
		fail(w, clientGone, "request canceled")
		return
	}
	defer s.leave(loaded)
	if req.load {
		reply(w, http.StatusOK, req.text(req, said{end: &api.Metrics{}, reason: "load"}))
		return
	}
	x.plan = newPlan(&x.cfg, req, opts, fault)
	if x.plan.promptTokens > x.cfg.Context {
		if req.Truncate != nil && !*req.Truncate {
			fail(w, http.StatusBadRequest, textTooLong)
			return
		}
		x.plan.promptTokens = x.cfg.Context
	}
	if x.cfg.Signed && len(x.plan.tokens) > 0 {
		x.plan.tokens[0] = loaded.digest + " " + x.plan.tokens[0]
	}
	x.generate()
}

// An exchange is one request for a generation and its answer.
type exchange struct {
	s      *Server
	cfg    Config
	w      http.ResponseWriter
	r      *http.Request
	req    *request
	start  time.Time
	out    *lines
	stream bool
	plan   plan
	slot   *Slot
	seen   Exchange
}

// generate waits for a slot, makes the answer at the GPU's speed and sends it.
func (x *exchange) generate() {
	s, p, loaded := x.s, &x.plan, time.Now()
	var err error
	if x.slot, err = s.gpu.Acquire(x.r.Context()); err != nil {
		s.count(func(st *Stats) { st.Cancelled++ })
		fail(x.w, clientGone, "request canceled")
		return
	}
	defer x.slot.Release()
	began := time.Now()
	s.mu.Lock()
	on := s.runner
	s.mu.Unlock()
	ctx, cancel := context.WithCancelCause(x.r.Context())
	defer cancel(nil)
	defer context.AfterFunc(on.ctx, func() { cancel(errCrashed) })()

	if err := x.makeTokens(ctx); err != nil {
		s.end(ctx, x.w, x.out)
		return
	}
	if after := effects()[p.kind].after; after != nil {
		after(ctx, func() { s.crash(on) })
		s.end(ctx, x.w, x.out)
		return
	}
	whole := said{}
	if !x.stream {
		whole = p.say(0, len(p.tokens))
		whole.calls = p.calls
	} else if len(p.calls) > 0 {
		x.out.write(x.req.text(x.req, said{calls: p.calls}))
	}
	if !p.done { // the stream ends without an error
		if !x.stream {
			reply(x.w, http.StatusOK, x.req.text(x.req, whole))
		}
		return
	}
	whole.reason = p.reason
	whole.end = &api.Metrics{TotalDuration: time.Since(x.start), LoadDuration: loaded.Sub(x.start), PromptEvalCount: p.promptTokens,
		PromptEvalDuration: time.Millisecond, EvalCount: p.counted, EvalDuration: time.Since(began)}
	s.count(func(st *Stats) { st.Answers++; st.Tokens += p.made })
	x.seen.Done, x.seen.Reason = true, p.reason
	if x.stream {
		x.out.write(x.req.text(x.req, whole))
		return
	}
	reply(x.w, http.StatusOK, x.req.text(x.req, whole))
}

// makeTokens waits until each token is made and, in a stream, sends it.
func (x *exchange) makeTokens(ctx context.Context) error {
	p := &x.plan
	if p.wait > 0 && outage.Sleep(ctx, p.wait) != nil {
		return ctx.Err()
	}
	if len(p.again) == 0 && (!x.stream || x.cfg.Instant && p.kind == "") {
		if err := x.slot.Wait(ctx, p.made); err != nil {
			return err
		}
		if x.stream && len(p.tokens) > 0 {
			x.out.write(x.req.text(x.req, p.say(0, len(p.tokens))))
		}
		return nil
	}
	for sent := 0; p.has(sent); {
		next := sent + 1
		if !p.single { // whose tokens have to be seen one by one
			next = min(len(p.tokens), max(next, sent+x.slot.Soon(x.cfg.ChunkEvery)))
		}
		if err := x.slot.Wait(ctx, next); err != nil {
			return err
		}
		if x.stream {
			x.out.write(x.req.text(x.req, p.say(sent, next)))
			x.out.flush()
		}
		sent = next
	}
	return x.slot.Wait(ctx, p.made)
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
