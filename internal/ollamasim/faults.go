package ollamasim

import (
	"math/rand/v2"
	"strings"
	"sync"
)

// A FaultKind says how a request goes wrong.
type FaultKind string

// The kinds of faults. Those marked with After happen when Fault.After tokens have been made.
const (
	Hang   FaultKind = "hang"   // After: no further token; the slot stays taken until the client disconnects
	Crash  FaultKind = "crash"  // After: the runner dies, and with it every generation that has a slot
	Cut    FaultKind = "cut"    // After: the connection is closed in the middle of the stream
	Loop   FaultKind = "loop"   // After: one token again and again, until the stream ends without being done
	Fail   FaultKind = "fail"   // status 500, as for a model that cannot be loaded
	Busy   FaultKind = "busy"   // status 503, as while a model loads
	Empty  FaultKind = "empty"  // the answer has no text
	Refuse FaultKind = "refuse" // the connection is closed without an answer
)

// A Fault is something that goes wrong with some of the requests for a generation.
type Fault struct {
	Kind   FaultKind
	Count  int                      // of requests that it affects; 0 means no limit
	Chance float64                  // that it affects a matching request; 0 means always
	Match  func(prompt string) bool // which requests it can affect; nil means all
	After  int                      // tokens that are made before
}

// Inject adds a fault. Of several that match a request the one injected first happens.
func (s *Server) Inject(f Fault) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.list = append(s.faults.list, &f)
}

// ClearFaults removes all faults. Requests that hang already go on hanging.
func (s *Server) ClearFaults() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.list = nil
}

// Prompts returns a Match for prompts that contain a text.
func Prompts(part string) func(prompt string) bool {
	return func(prompt string) bool { return strings.Contains(prompt, part) }
}

type faults struct {
	mu   sync.Mutex
	list []*Fault
	rand *rand.Rand
}

// next returns the fault that happens to a request, or one without a kind.
func (f *faults) next(prompt string) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, x := range f.list {
		if x.Match != nil && !x.Match(prompt) || x.Chance > 0 && f.roll() >= x.Chance {
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

// roll returns the same sequence for every server, so that a test with chances can be repeated.
func (f *faults) roll() float64 {
	if f.rand == nil {
		f.rand = rand.New(rand.NewPCG(1, 2))
	}
	return f.rand.Float64()
}
