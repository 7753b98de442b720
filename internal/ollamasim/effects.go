package ollamasim

import (
	"cmp"
	"context"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/ollama/ollama/api"
)

// An effect is what a kind of fault does: it answers a request itself, or it changes the answer
// before it is made. After says what follows the tokens in place of the answer's end.
type effect struct {
	instead func(w http.ResponseWriter, r *http.Request, f Fault)
	answer  func(p *plan, f Fault)
	after   func(ctx context.Context, crash func())
}

// effects is the table of all faults.
func effects() map[FaultKind]effect {
	return map[FaultKind]effect{
		Refuse:   {instead: func(http.ResponseWriter, *http.Request, Fault) { panic(http.ErrAbortHandler) }},
		Fail:     {instead: refusal(http.StatusInternalServerError, textFailed)},
		Busy:     {instead: refusal(http.StatusServiceUnavailable, textBusy)},
		Limit:    {instead: refusal(http.StatusTooManyRequests, textLimit)},
		Deny:     {instead: page(http.StatusUnauthorized, "401 Authorization Required")},
		Gateway:  {instead: page(http.StatusBadGateway, "502 Bad Gateway")},
		Page:     {instead: page(http.StatusOK, "Please sign in")},
		Redirect: {instead: redirect},

		Hang:       {answer: breakOff, after: hang},
		Crash:      {answer: breakOff, after: crash},
		Cut:        {answer: breakOff, after: cut},
		Unfinished: {answer: breakOff},
		Loop:       {answer: loop},
		Repeat:     {answer: repeat},
		Short:      {answer: short},
		Silent:     {answer: silent},
		Endless:    {answer: func(p *plan, f Fault) { p.forEver(p.tokens) }},
		Empty:      {answer: func(p *plan, f Fault) { p.tokens, p.made, p.reason = nil, 1, "stop" }},
		Say:        {answer: say},
		Call:       {answer: call},
		Think:      {answer: func(p *plan, f Fault) { p.thoughts = min(f.After, len(p.tokens)) }},
		Slow:       {answer: func(p *plan, f Fault) { p.wait = f.Wait }},
		Reason:     {answer: func(p *plan, f Fault) { p.reason = f.Text }},
		Negative:   {answer: func(p *plan, f Fault) { p.promptTokens, p.counted = -1, -1 }},
		CutPrompt:  {answer: func(p *plan, f Fault) { p.promptTokens = min(p.promptTokens, f.After) }},
	}
}

func refusal(status int, text string) func(http.ResponseWriter, *http.Request, Fault) {
	return func(w http.ResponseWriter, r *http.Request, f Fault) {
		if f.Wait > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(f.Wait.Seconds()))))
		}
		fail(w, status, cmp.Or(f.Text, text))
	}
}

func page(status int, title string) func(http.ResponseWriter, *http.Request, Fault) {
	return func(w http.ResponseWriter, r *http.Request, f Fault) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		_, _ = w.Write([]byte("<html>\r\n<head><title>" + title + "</title></head>\r\n<body>\r\n<center><h1>" + title +
			"</h1></center>\r\n<hr><center>nginx/1.18.0 (Ubuntu)</center>\r\n</body>\r\n</html>\r\n")) // an error means that the client has gone
	}
}

func redirect(w http.ResponseWriter, r *http.Request, f Fault) {
	w.Header().Set("Location", f.Text+r.URL.Path)
	w.WriteHeader(http.StatusMovedPermanently)
}

// breakOff ends the tokens without an end.
func breakOff(p *plan, f Fault) {
	p.made = min(f.After, len(p.tokens))
	p.tokens, p.done = p.tokens[:p.made], false
}

func loop(p *plan, f Fault) {
	breakOff(p, f)
	p.tokens = append(slices.Clip(p.tokens), repeated(f, repeatLimit)...)
	p.made, p.single = len(p.tokens), true
}

func repeat(p *plan, f Fault) {
	n := min(f.After, len(p.tokens))
	p.tokens = append(slices.Clip(p.tokens[:n]), repeated(f, max(0, p.limit-n))...)
	p.made, p.reason, p.single = len(p.tokens), "length", true
}

func repeated(f Fault, times int) []string {
	return slices.Repeat([]string{cmp.Or(f.Text, " the")}, times)
}

func short(p *plan, f Fault) {
	p.made = max(1, min(f.After, len(p.tokens)))
	p.tokens, p.reason = p.tokens[:min(p.made, len(p.tokens))], "length"
}

func silent(p *plan, f Fault) {
	p.tokens = p.tokens[:min(f.After, len(p.tokens))]
	p.forEver([]string{""})
}

func say(p *plan, f Fault) {
	p.tokens = strings.SplitAfter(f.Text, " ")
	p.made, p.reason, p.single = len(p.tokens)+1, "stop", true
}

func call(p *plan, f Fault) {
	name := f.Text
	if name == "" && len(p.tools) > 0 {
		name = p.tools[0].Function.Name
	}
	arguments := api.NewToolCallFunctionArguments()
	arguments.Set("simulated", true)
	p.tokens = p.tokens[:min(f.After, len(p.tokens))]
	p.calls = []api.ToolCall{{ID: "call_simulated", Function: api.ToolCallFunction{Name: name, Arguments: arguments}}}
	p.made, p.reason = len(p.tokens)+1, "stop"
}

func hang(ctx context.Context, _ func()) { <-ctx.Done() }

func crash(ctx context.Context, crash func()) {
	crash()
	<-ctx.Done()
}

func cut(context.Context, func()) { panic(http.ErrAbortHandler) }
