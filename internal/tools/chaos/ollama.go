//go:build unix

package main

import (
	"strings"
	"sync"
	"time"

	"gleaner/internal/ollamasim"
	"gleaner/internal/pipeline"
)

// The words that make the prompts of some items special, and what becomes of such an item.
func specials() map[string]pipeline.Class {
	return map[string]pipeline.Class{
		"poisonous":   pipeline.Poison,
		"overlong":    pipeline.BadItem,
		"neverending": pipeline.Truncated,
		"speechless":  pipeline.Degenerate,
		"stammering":  pipeline.Degenerate,
	}
}

const contextLength = 4096 // tokens

// An ollama is a simulated server that can be restarted on its address.
type ollama struct {
	addr string // host and port

	mu    sync.Mutex
	sim   *ollamasim.Server
	ended ollamasim.Stats // of the servers before this one
}

func startOllama() (*ollama, error) {
	o := &ollama{addr: "127.0.0.1:0"}
	return o, o.start()
}

func (o *ollama) start() error {
	sim := ollamasim.New(ollamasim.Config{
		Slots: slots, Models: []string{model}, Context: contextLength, Speed: speed, ChunkEvery: 20 * time.Millisecond, Load: 100 * time.Millisecond,
		Lengths: func(prompt string, seed int) int {
			if strings.Contains(prompt, "neverending") {
				return 100_000
			}
			return ollamasim.LogNormal(100, 0.6)(prompt, seed)
		},
	})
	for _, f := range []ollamasim.Fault{
		{Kind: ollamasim.Crash, After: 5, Match: ollamasim.Prompts("poisonous")},
		{Kind: ollamasim.Empty, Match: ollamasim.Prompts("speechless")},
		{Kind: ollamasim.Loop, After: 5, Match: ollamasim.Prompts("stammering")},
	} {
		sim.Inject(f)
	}
	url, err := sim.Start(o.addr)
	if err != nil {
		sim.Close()
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sim, o.addr = sim, strings.TrimPrefix(url, "http://")
	return nil
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
	o.ended.Answers += stats.Answers
	o.ended.Requests += stats.Requests
}

func (o *ollama) inject(f ollamasim.Fault) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sim != nil {
		o.sim.Inject(f)
	}
}

// stats returns what all servers on this address have done.
func (o *ollama) stats() ollamasim.Stats {
	o.mu.Lock()
	defer o.mu.Unlock()
	stats := o.ended
	if o.sim != nil {
		now := o.sim.Stats()
		stats.Answers += now.Answers
		stats.Requests += now.Requests
	}
	return stats
}
