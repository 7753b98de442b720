package ollamasim

import (
	"strings"
	"sync"
	"time"
)

// A FaultKind says how a request goes wrong.
type FaultKind string

// The kinds of faults that are answered in place of what was asked for. These can also be
// Everywhere.
const (
	Refuse   FaultKind = "refuse"   // the connection is closed without an answer
	Fail     FaultKind = "fail"     // status 500, as for a model that cannot be loaded; Text instead of its words
	Busy     FaultKind = "busy"     // status 503, as while a model loads; with Wait also Retry-After
	Limit    FaultKind = "limit"    // status 429; with Wait also Retry-After
	Deny     FaultKind = "deny"     // status 401, a page of HTML
	Gateway  FaultKind = "gateway"  // status 502, a page of HTML
	Page     FaultKind = "page"     // status 200, a page of HTML, as from a proxy that asks for a login
	Redirect FaultKind = "redirect" // status 301 to the address in Text and the path of the request
)

// The kinds of faults that change an answer. Those marked with After happen when Fault.After
// tokens have been made.
const (
	Hang       FaultKind = "hang"       // After: no further token; the slot stays taken until the client disconnects
	Crash      FaultKind = "crash"      // After: the runner dies, and with it every generation that has a slot
	Cut        FaultKind = "cut"        // After: the connection is closed in the middle of the stream
	Unfinished FaultKind = "unfinished" // After: the stream ends in good order without being done
	Loop       FaultKind = "loop"       // After: Text (or " the") again and again, until the stream ends without being done
	Repeat     FaultKind = "repeat"     // After: the same, but up to num_predict, as servers do that do not look for it
	Short      FaultKind = "short"      // After: the answer ends for its length
	Silent     FaultKind = "silent"     // After: chunks without text, for ever
	Endless    FaultKind = "endless"    // the answer never ends, whatever num_predict says
	Empty      FaultKind = "empty"      // the answer has no text
	Say        FaultKind = "say"        // the answer is Text, word by word: thoughts in tags, garbage
	Call       FaultKind = "call"       // After: the answer ends with a call of the first tool that the request offers; Text: of another one
	Think      FaultKind = "think"      // After tokens of thoughts in a field of their own come before the answer
	Slow       FaultKind = "slow"       // the first token comes after Wait
	Reason     FaultKind = "reason"     // the answer ends with Text as its reason; empty: with none
	Negative   FaultKind = "negative"   // the answer ends with counts below zero
	CutPrompt  FaultKind = "cutprompt"  // only After tokens of the prompt are read, and counted, in silence
)

// A Fault is something that goes wrong with some of the requests for a generation. A server that is
// broken from the beginning has a fault without bounds, one that breaks later has it with Skip, and
// a row that always fails has it with Match.
type Fault struct {
	Kind       FaultKind
	Match      func(prompt string) bool // which requests it can affect; nil means all
	Skip       int                      // of the matching requests that go well before
	Count      int                      // of requests that it affects; 0 means no limit
	Everywhere bool                     // it affects requests of every kind, whatever Match says

	After int           // tokens that are made before
	Wait  time.Duration // see the kinds
	Text  string        // see the kinds
}

// Prompts returns a Match for prompts that contain a text.
func Prompts(part string) func(prompt string) bool {
	return func(prompt string) bool { return strings.Contains(prompt, part) }
}

type faults struct {
	mu   sync.Mutex
	list []*Fault
}

// next returns the fault that happens to a request for a generation, or one without a kind.
func (f *faults) next(prompt string) Fault {
	return f.take(func(x *Fault) bool { return !x.Everywhere && (x.Match == nil || x.Match(prompt)) })
}

// everywhere returns the fault that happens to a request whatever it asks for.
func (f *faults) everywhere() Fault {
	return f.take(func(x *Fault) bool { return x.Everywhere })
}

func (f *faults) take(matches func(*Fault) bool) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, x := range f.list {
		if !matches(x) {
			continue
		}
		if x.Skip > 0 {
			x.Skip--
			continue
		}
		fault := *x
		if x.Count > 0 {
			if x.Count--; x.Count == 0 {
				f.list = append(f.list[:i:i], f.list[i+1:]...)
			}
		}
		return fault
	}
	return Fault{}
}
