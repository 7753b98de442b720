package consumer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gleaner/internal/pipeline"
)

// Care says how the servers are looked after that the consumer runs itself. Zero values mean the
// defaults.
type Care struct {
	Stall    time.Duration   // a server with requests that gives no token for so long hangs; default 45 s
	Beat     time.Duration   // how often it is asked whether it is there; default 5 s
	Rests    []time.Duration // before the first, second, … restart in a row; default 1 s, 5 s, 15 s, 60 s
	AllowCPU bool            // serve also where the model is not in the GPU's memory; for tests
}

func (c Care) complete() (Care, error) {
	if c.Stall == 0 {
		c.Stall = 45 * time.Second
	}
	if c.Beat == 0 {
		c.Beat = 5 * time.Second
	}
	if len(c.Rests) == 0 {
		c.Rests = []time.Duration{time.Second, 5 * time.Second, 15 * time.Second, time.Minute}
	}
	if c.Stall < time.Millisecond || c.Beat < time.Millisecond {
		return c, fmt.Errorf("consumer: a stall of %s or a beat of %s is too short", c.Stall, c.Beat)
	}
	return c, nil
}

const (
	missedBeats   = 3                // in a row, after which a server is not there any more
	beatsPerLook  = 6                // after so many it is looked whether the model is still on the GPU
	tempoWindow   = 30 * time.Second // over which the speed is counted
	slowWindows   = 4                // in a row, after which a server has fallen to the speed of a CPU
	slowdown      = 4                // and how many times slower that is
	crashWindow   = 5 * time.Minute  // in which so many crashes of the runner
	crashesAtMost = 6                // mean that the server is sick; a prompt that crashes it costs three
	oneCrash      = 2 * time.Second  // requests that crash within this time do it together
)

var (
	errSlow  = errors.New("it has become as slow as a CPU")
	errSick  = errors.New("its runner crashes again and again")
	errQuiet = errors.New("it does not answer any more")
)

// watch returns why a server has to be taken care of, or nil when ctx ends.
func (k *keeper) watch(ctx context.Context, l *life) error {
	ctx, cancel := context.WithCancel(ctx)
	found := make(chan error, 2) // one of each watcher
	var watchers sync.WaitGroup
	watchers.Go(func() { found <- k.flow(ctx, l) })
	watchers.Go(func() { found <- k.beat(ctx, l) })
	defer watchers.Wait()
	defer cancel()
	select {
	case <-l.server.Exited():
		return l.server.Ended()
	case err := <-l.failed:
		return err
	case err := <-found:
		return err
	case <-ctx.Done():
		return nil
	}
}

// flow watches the tokens: whether they come at all, and how fast.
func (k *keeper) flow(ctx context.Context, l *life) error {
	tick := time.NewTicker(min(max(k.care.Stall/20, 10*time.Millisecond), time.Second))
	defer tick.Stop()
	chunks, since := l.server.Chunks(), time.Now()
	k.tempo.begin(since, chunks)
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		now, got, inFlight := time.Now(), l.server.Chunks(), l.count()
		switch {
		case got != chunks || inFlight == 0:
			chunks, since = got, now
		case now.Sub(since) >= k.care.Stall:
			return fmt.Errorf("%w: no token for %s, with %d requests in flight", pipeline.ErrStalled, k.care.Stall, inFlight)
		}
		if k.tempo.slow(now, got, inFlight) {
			return fmt.Errorf("%w: less than a quarter of its speed for %s", errSlow, slowWindows*tempoWindow)
		}
	}
}

// beat asks the server again and again whether it is there, and whether the model still is where
// it was.
func (k *keeper) beat(ctx context.Context, l *life) error {
	for missed, beats := 0, 1; sleep(ctx, k.care.Beat); beats++ {
		limited, cancel := context.WithTimeout(ctx, max(k.care.Beat, time.Second))
		err := l.server.Ping(limited)
		if err == nil && beats%beatsPerLook == 0 {
			// A model that is not loaded just now, after a crash, comes back with the next request.
			if loaded, unknown := l.server.Loaded(limited, k.model); unknown == nil {
				if moved := k.onGPU(loaded); moved != nil {
					cancel()
					return moved
				}
			}
		}
		cancel()
		switch missed++; {
		case err == nil:
			missed = 0
		case missed >= missedBeats && ctx.Err() == nil:
			return fmt.Errorf("%w: %w", errQuiet, err)
		}
	}
	return nil
}

// A tempo knows how fast a GPU was, with how many requests at a time. One goroutine uses it at a
// time.
type tempo struct {
	since  time.Time // begin of the window
	chunks int64
	least  int             // requests in flight during it
	best   map[int]float64 // chunks per second, by the least number of requests in flight
	lame   int             // windows in a row
}

func (p *tempo) begin(now time.Time, chunks int64) {
	p.since, p.chunks, p.least, p.lame = now, chunks, -1, 0
}

// slow reports whether the GPU has lost most of its speed: for some time it was far slower than
// it had been with the same number of requests or with fewer.
func (p *tempo) slow(now time.Time, chunks int64, inFlight int) bool {
	if p.least < 0 || inFlight < p.least {
		p.least = inFlight
	}
	window := now.Sub(p.since)
	if window < tempoWindow {
		return false
	}
	rate, least, lame := float64(chunks-p.chunks)/window.Seconds(), p.least, p.lame
	best := 0.0
	for n, r := range p.best {
		if n <= least {
			best = max(best, r)
		}
	}
	p.begin(now, chunks)
	if least == 0 { // it had nothing to do
		return false
	}
	if p.best == nil {
		p.best = map[int]float64{}
	}
	p.best[least] = max(p.best[least], rate)
	if slowdown*rate < best {
		p.lame = lame + 1
	}
	return p.lame >= slowWindows
}

// takeOff counts a request in.
func (l *life) takeOff() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inFlight++
}

// land counts a request out and judges the server by what came of it. It reports whether that
// shows a crash of the runner that was not known before.
func (l *life) land(err error) (crash bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inFlight--
	now := time.Now()
	switch {
	case err == nil || pipeline.ClassOf(err).IsOutcome():
		l.answers++
	case errors.Is(err, pipeline.ErrMemory):
		l.fail(err)
	case errors.Is(err, pipeline.ErrRunnerCrashed):
		if n := len(l.crashed); n == 0 || now.Sub(l.crashed[n-1]) > oneCrash {
			l.crashed, crash = append(l.crashed, now), true
		}
		for now.Sub(l.crashed[0]) > crashWindow {
			l.crashed = l.crashed[1:]
		}
		if len(l.crashed) >= crashesAtMost {
			l.fail(fmt.Errorf("%w: %w", errSick, err))
		}
	}
	return crash
}

func (l *life) fail(err error) {
	select {
	case l.failed <- err:
	default: // the first one counts
	}
}

func (l *life) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.inFlight
}
