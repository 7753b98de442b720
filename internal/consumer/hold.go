package consumer

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/pipeline"
)

// errAway says that the server failed with something simple, too: the prompt is not the reason.
var errAway = errors.New("the server answers nothing at present")

// A hold keeps a GPU from taking work while something is wrong that a person has to mend, or its
// server is away. When it is over, one worker looks: it asks the model for a word, and if that
// comes it takes one batch. The others follow when that batch goes. So hardly a batch is
// delivered in vain, however long it takes.
type hold struct {
	on      bool
	until   time.Time         // when the next look is due
	probing bool              // a worker is having a look
	request *pipeline.Request // what failed, if it was a request
	changed chan struct{}     // closed when any of this changes

	closed bool // the GPU's supervisor lets nothing in; then the rest does not count
	gone   bool // and never will again
}

// change notifies those who wait. The caller holds the GPU's mutex.
func (h *hold) change() {
	close(h.changed)
	h.changed = make(chan struct{})
}

// holdBack keeps the GPU from taking work for a while and says why.
func (g *lane) holdBack(why error) {
	rest := g.rest
	if pipeline.ClassOf(why) != pipeline.Fatal {
		rest /= 6 // nobody has to come and mend it: the server is probably back soon
	}
	g.mu.Lock()
	if g.hold.closed { // the supervisor knows better
		g.mu.Unlock()
		return
	}
	first := !g.hold.on
	g.hold.on, g.hold.probing, g.hold.until = true, false, time.Now().Add(rest)
	g.hold.change()
	g.state, g.detail = pipeline.GPUHeld, cut(why.Error(), maxState)
	g.mu.Unlock()
	if first {
		g.log.Error("this GPU takes no work until that is mended", zap.Error(why), zap.Duration("next_try", rest))
	}
}

// blame remembers a request that failed for a reason which a person has to mend.
func (g *lane) blame(request pipeline.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hold.request = &request
}

// mended ends a hold.
func (g *lane) mended() {
	g.mu.Lock()
	if g.hold.closed {
		g.mu.Unlock()
		return
	}
	was := g.hold.on
	g.hold.on, g.hold.probing, g.hold.request = false, false, nil
	g.hold.change()
	g.state, g.detail = pipeline.GPUServing, ""
	g.mu.Unlock()
	if was {
		g.log.Info("this GPU is mended and takes work again")
	}
}

// held reports whether somebody who looks, or does not, must not take work now.
func (g *lane) held(looks bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.hold.closed || g.hold.on && !(looks && g.hold.probing)
}

// await waits while the GPU is closed, but no longer than work in hand should: then somebody else
// does it sooner.
func (g *lane) await(ctx context.Context) error {
	patience := time.NewTimer(g.rest)
	defer patience.Stop()
	for {
		g.mu.Lock()
		h, state := g.hold, pipeline.GPUStatus{State: g.state, Detail: g.detail}
		g.mu.Unlock()
		if !h.closed {
			return nil
		}
		late := h.gone
		if !late {
			select {
			case <-h.changed:
			case <-patience.C:
				late = true
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if late {
			return pipeline.Fail(pipeline.Retryable, "%s: %w: it is %s", g.Name, errAway, state.Describe())
		}
	}
}

// ready waits until this worker may take work. It reports whether the worker is the one who looks
// whether a held GPU is mended; that one has to call mended, holdBack or looked. It returns early
// when ctx ends.
func (g *lane) ready(ctx context.Context) (looks bool) {
	for ctx.Err() == nil {
		g.mu.Lock()
		h := &g.hold
		wait, changed := time.Until(h.until), h.changed
		switch {
		case h.closed:
			wait = g.rest // or until it is opened
		case !h.on:
			g.mu.Unlock()
			return false
		case !h.probing && wait <= 0:
			h.probing = true
			g.mu.Unlock()
			return true
		case h.probing:
			wait = g.rest // or until it is over
		}
		g.mu.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	return false
}

// looked ends a look that has shown nothing. The next worker looks at once.
func (g *lane) looked() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.hold.probing {
		g.hold.probing = false
		g.hold.change()
	}
}

// answers asks a model that failed for a word, and returns nil if it says something or nothing
// was asked of it before.
func (g *lane) answers(ctx context.Context) error {
	g.mu.Lock()
	request := g.hold.request
	g.mu.Unlock()
	if request == nil {
		return nil
	}
	return g.canary(ctx, *request, true)
}

// canary asks for one token with the model and the options of a request that failed, but not with
// its prompt. If this fails, too, the prompt was not the reason.
func (g *lane) canary(ctx context.Context, request pipeline.Request, alone bool) error {
	request.Messages, request.Options.NumPredict = pipeline.User("Hello"), 1
	if _, _, err := g.once(ctx, request, alone); err != nil && !pipeline.ClassOf(err).IsOutcome() {
		return err
	}
	return nil // an answer that was cut off or makes no sense is one, too
}
