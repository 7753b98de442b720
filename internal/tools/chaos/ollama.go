//go:build unix

package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"gleaner/internal/ollamasim"
	"gleaner/internal/text"
)

// The contexts of the servers, in tokens.
const (
	contextLength = 4096
	smallContext  = 512 // of a server that is too small for some rows
)

// The answers of the servers, in tokens, and their times.
const (
	answerMedian     = 100
	answerSpread     = 0.6     // the standard deviation of the logarithm of an answer's length
	neverendingReply = 100_000 // more than any context has
	chunkEvery       = 20 * time.Millisecond
	loadTakes        = 100 * time.Millisecond
)

// The digests of the run's model, and of another one that somebody copies to its name.
const (
	ownDigest   = "0a11000000000000000000000000000000000000000000000000000000000000"
	otherDigest = "0b22000000000000000000000000000000000000000000000000000000000000"
)

// An ollama is a simulated server that can be restarted on its address. What is wrong with it
// stays wrong over a restart.
type ollama struct {
	name string // such as ollama-2
	addr string // host and port
	seen *requestLog

	mu      sync.Mutex
	sim     *ollamasim.Server
	context int
	digest  string          // of its model
	broken  ollamasim.Fault // happens to every request; without a kind it is not broken
	stats   ollamasim.Stats // of the servers before this one
}

func startOllama(name string, l *requestLog) (*ollama, error) {
	o := &ollama{name: name, addr: "127.0.0.1:0", seen: l, context: contextLength, digest: ownDigest}
	return o, o.start()
}

func (o *ollama) start() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	sim := ollamasim.New(ollamasim.Config{
		Slots: slots, Models: []string{model}, Context: o.context, Digest: o.digest, Speed: speed, ChunkEvery: chunkEvery,
		Load: loadTakes, ReloadOnShift: true, Watch: func(x ollamasim.Exchange) { o.seen.end(o.name, x) },
		Lengths: func(prompt string, seed int) int {
			if strings.Contains(prompt, "neverending") {
				return neverendingReply
			}
			return ollamasim.LogNormal(answerMedian, answerSpread)(prompt, seed)
		},
	})
	o.injectInto(sim)
	url, err := sim.Start(o.addr)
	if err != nil {
		sim.Close()
		return err
	}
	o.sim, o.addr = sim, strings.TrimPrefix(url, "http://")
	return nil
}

// injectInto injects what is wrong with the server, and what goes wrong with some rows on every
// server. The first fault never happens: it sees all requests.
func (o *ollama) injectInto(sim *ollamasim.Server) {
	sim.ClearFaults()
	sim.Inject(ollamasim.Fault{Kind: ollamasim.Fail, Match: func(prompt string) bool { o.seen.begin(prompt); return false }})
	if o.broken.Kind != "" {
		sim.Inject(o.broken)
	}
	for _, s := range specials() {
		if f := s.fault; f.Kind != "" {
			f.Match = ollamasim.Prompts(s.word)
			sim.Inject(f)
		}
	}
}

// change changes what is wrong with the server, at once and over a restart.
func (o *ollama) change(change func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	digest := o.digest
	change()
	if o.sim == nil {
		return
	}
	o.sim.Change(func(c *ollamasim.Config) { c.Context = o.context })
	if o.digest != digest {
		o.sim.SetDigest(model, o.digest)
	}
	o.injectInto(o.sim)
}

func (o *ollama) stop() {
	o.mu.Lock()
	sim := o.sim
	o.sim = nil
	o.mu.Unlock()
	if sim == nil {
		return
	}
	sim.Close()
	stats := sim.Stats()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stats.Requests += stats.Requests
}

func (o *ollama) inject(f ollamasim.Fault) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sim != nil {
		o.sim.Inject(f)
	}
}

// requests returns how many requests all servers on this address have got.
func (o *ollama) requests() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := o.stats.Requests
	if o.sim != nil {
		n += o.sim.Stats().Requests
	}
	return n
}

// A requestLog notes what all servers were asked for and what they completed.
type requestLog struct {
	out io.Writer // gets a line for each answer that was completed

	mu       sync.Mutex
	executed map[string]int  // answers that the servers completed, by row
	spoilt   map[string]int  // of them, those that were not as they should be
	hopeless time.Time       // when the latest of the rows that never work had its first try
	tried    map[string]bool // those of them that had one
}

func newRequestLog(out io.Writer) *requestLog {
	return &requestLog{out: out, executed: map[string]int{}, spoilt: map[string]int{}, tried: map[string]bool{}}
}

// begin notes a request for an answer.
func (l *requestLog) begin(prompt string) {
	if s, ok := specialOf(prompt); !ok || s.class == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.tried[prompt] {
		l.tried[prompt], l.hopeless = true, time.Now()
	}
}

// end notes what became of a request. Answers to rows that never work do not count, those of a
// broken server do.
func (l *requestLog) end(server string, x ollamasim.Exchange) {
	if s, ok := specialOf(x.Prompt); !x.Done || !strings.HasPrefix(x.Prompt, rowPrefix) || ok && s.class != "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.executed[x.Prompt]++
	fmt.Fprintf(l.out, "%s %s %s %s\n", time.Now().Format("15:04:05.000"), server, x.Fault, text.Shorten(x.Prompt, 60))
	if x.Fault != "" {
		l.spoilt[x.Prompt]++
	}
}

// counted returns how many answers to these rows the servers completed so far, and how many of them
// were not as they should be. Rows of a run that was deleted are not among them.
func (l *requestLog) counted(rows []row) (executed, spoilt int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range rows {
		executed += l.executed[r.question]
		spoilt += l.spoilt[r.question]
	}
	return executed, spoilt
}

// lastHopeless returns when the latest of the rows that never work had its first try.
func (l *requestLog) lastHopeless() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hopeless
}
