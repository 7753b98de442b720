package consumer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"

	"gleaner/internal/pipeline"
)

// maxTokenSize is how many bytes of text a token has at most, over a whole prompt.
const maxTokenSize = 12

// A promptCheck finds servers that cut prompts without a word, and answer what is left. Such a
// server counts fewer tokens than a prompt must have, and so does one that leaves out of the count
// what it has in its cache. Two prompts tell them apart that are longer than the count, of
// different length, and begin with words that no cache can have: a server that cuts counts the same
// for both.
type promptCheck struct {
	gpu     *requester
	breaker *breaker

	turn    chan struct{}                               // holds a value while the two prompts are asked
	trusted atomic.Bool                                 // the server counts without its cache, so its counts say nothing
	found   func(context.Context) (cuts int, err error) // asks again as when the lane was held; guarded by turn
}

func newPromptCheck(gpu *requester, breaker *breaker) *promptCheck {
	return &promptCheck{gpu: gpu, breaker: breaker, turn: make(chan struct{}, 1)}
}

// Check returns nil if the whole prompt was read, as far as the count tells, else a failure that
// says nothing about the request.
func (p *promptCheck) Check(ctx context.Context, request pipeline.Request, completion pipeline.Completion) error {
	count := completion.PromptTokens
	if count <= 0 || p.trusted.Load() || count >= request.PromptBytes()/maxTokenSize {
		return nil
	}
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return interrupted(ctx)
	}
	if p.trusted.Load() { // found out meanwhile
		return nil
	}
	if !p.breaker.Held(holdPrompts) {
		cuts, err := p.ask(ctx, request, count)
		switch {
		case ctx.Err() != nil:
			return interrupted(ctx)
		case err != nil:
			return fmt.Errorf("finding out whether the server cuts prompts: %w", err)
		case cuts == 0:
			p.trusted.Store(true)
			return nil
		}
		p.found = func(ctx context.Context) (int, error) { return p.ask(ctx, request, count) }
		p.breaker.Hold(holdPrompts, fmt.Sprintf("this server cuts prompts at %d tokens, without a word: update it, or give it a larger context (OLLAMA_CONTEXT_LENGTH, --context)", cuts))
	}
	return fmt.Errorf("%w: the server has cut the prompt", errSetAside)
}

// Again finds out whether a server that cut prompts still does. One that does not is released.
func (p *promptCheck) Again(ctx context.Context) {
	if !p.breaker.Held(holdPrompts) {
		return
	}
	p.turn <- struct{}{}
	defer func() { <-p.turn }()
	if cuts, err := p.found(ctx); err == nil && cuts == 0 {
		p.breaker.Release(holdPrompts)
	}
}

// ask sends the two prompts, and returns at how many tokens the server cuts, or 0 if it does not.
func (p *promptCheck) ask(ctx context.Context, request pipeline.Request, count int) (cuts int, err error) {
	request = withoutSchema(request)
	var counts [2]int
	for i := range counts {
		a := p.gpu.Attempt(ctx, request.Asking(randomWords(count+(i+1)*(count/8+32)), 1), false)
		switch {
		case a.completion.PromptTokens > 0 && answered(a.err):
			counts[i] = a.completion.PromptTokens
		case isNoAnswer(a.err): // it was refused, and not cut
			return 0, nil
		case a.err != nil:
			return 0, a.err
		}
	}
	if counts[0] != counts[1] {
		return 0, nil
	}
	return counts[0], nil
}

// randomWords returns a text of n words, each of which is a token or more.
func randomWords(n int) string {
	var text strings.Builder
	for range n {
		for range 5 {
			text.WriteByte(byte('a' + rand.IntN(26)))
		}
		text.WriteByte(' ')
	}
	return text.String()
}
