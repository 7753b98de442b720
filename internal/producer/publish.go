package producer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"gleaner/internal/advice"
	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

const (
	publishAtOnce = 64 // publishes at the same time, each of which waits for its confirmation

	// PublishChunk is how many batches a Publisher publishes before it looks at the queue again.
	PublishChunk = 100
	// MostPolls is the longest time between two looks at a full window, in polls.
	MostPolls = 16
	// Refill is the part of a full window, as 1/Refill, that has to become free before the
	// publisher continues.
	Refill = 20
)

// Publish puts all planned batches of a run on the queue, and returns when none is planned any more
// or with ctx's error. While the queue has no room it waits. It fails if the store or the stream is
// away; Persist does not.
func (p *Publisher) Publish(ctx context.Context, run pipeline.Run) error {
	return p.publish(ctx, run, func() {})
}

// publish calls working after each chunk that was published and marked, and at the end.
func (p *Publisher) publish(ctx context.Context, known pipeline.Run, working func()) error {
	name := known.Name
	run, err := p.again(ctx, known)
	if err != nil {
		return err
	}
	if run.State != pipeline.RunOpen {
		return notOpen(run)
	}
	builder, err := NewWorkBuilder(p.store, run)
	if err != nil {
		return err
	}
	if err := p.queue.EnsureRun(ctx, run); err != nil {
		return err
	}
	if err := p.mark(ctx, run, nil); err != nil { // of an earlier call
		return err
	}
	if err := p.sendWorks(ctx, run, p.largeOf(run)); err != nil { // of an earlier call, too
		return err
	}
	for from := 0; ; {
		room, err := p.room(ctx, name)
		if err != nil {
			return err
		}
		batches, err := p.store.Batches(ctx, name, pipeline.Planned, from, min(room, PublishChunk))
		if err != nil {
			return err
		}
		if len(batches) == 0 && from == 0 {
			p.tellPublished(ctx, run)
			working()
			return nil
		}
		if len(batches) == 0 { // some may be left: start again from the beginning
			from = 0
			continue
		}
		if run, err = p.again(ctx, known); err != nil {
			return err
		}
		if run.State != pipeline.RunOpen { // it was cancelled meanwhile
			return notOpen(run)
		}
		if err := p.publishBatches(ctx, builder, batches); err != nil {
			return err
		}
		from = batches[len(batches)-1].Index + 1
		working()
	}
}

// again reads a run that is known. One that was deleted is an error, also if another one has its
// name now.
func (p *Publisher) again(ctx context.Context, known pipeline.Run) (pipeline.Run, error) {
	run, err := p.store.Run(ctx, known.Name)
	return run, known.StillThere(run, err)
}

// Publishable returns why a run cannot be published, or nil.
func Publishable(run pipeline.Run) error {
	if run.State != pipeline.RunOpen {
		return notOpen(run)
	}
	return nil
}

// notOpen says why a run that is not open cannot be published.
func notOpen(run pipeline.Run) error {
	if run.State == pipeline.RunLoading {
		return fmt.Errorf("run %s is not loaded completely: repeat `%s` with its flags, which goes on where it stopped",
			run.Name, advice.Command("load", "--run", run.Name))
	}
	if run.State == pipeline.RunCancelled {
		return fmt.Errorf("run %s is %w: nothing more of it is generated. Its answers stay: `%s` writes them; to generate the rest give another run the same dataset, under another name with --run",
			run.Name, pipeline.ErrCancelled, advice.Command("export", "--run", run.Name, "--out", run.Name+".jsonl"))
	}
	return fmt.Errorf("run %s is %s: it cannot be published", run.Name, run.State)
}

// room returns for how many batches the window has room. If it is full, room waits until a part of
// it is free. Its looks get further apart, since each costs traffic and a run may take weeks.
func (p *Publisher) room(ctx context.Context, run string) (int, error) {
	wait, enough := p.cfg.Poll, 1
	for waiting := false; ; waiting = true {
		window := 0
		var asking sync.WaitGroup // at once with the other question: the server may be far away
		asking.Go(func() { window = p.window(ctx, run) })
		depth, err := p.queue.Depth(ctx, run)
		asking.Wait()
		if errors.Is(err, pipeline.ErrNoRun) { // it was there a moment ago, and can be created again
			return 0, pipeline.Fail(pipeline.Retryable, "the stream has lost the run: %w: `%s` puts right what was lost",
				err, advice.Command("publish", "--run", run, "--follow"))
		}
		if err != nil {
			return 0, err
		}
		outstanding := depth.Waiting + depth.Held
		if waiting {
			enough = max(1, window/Refill)
		}
		if window-outstanding >= enough {
			return window - outstanding, nil
		}
		if !waiting {
			p.log.Debug("the window is full", zap.Int("outstanding", outstanding), zap.Int("window", window))
		}
		if err := outage.Sleep(ctx, wait); err != nil {
			return 0, err
		}
		wait = min(2*wait, MostPolls*p.cfg.Poll)
	}
}

// window returns how many batches of a run may be outstanding. It follows the fleet unless a person
// has set it: what a worker holds, and what it finds when that is done. What there is without a
// fleet the runs share that are attended.
func (p *Publisher) window(ctx context.Context, run string) int {
	if p.cfg.Window > 0 {
		return p.cfg.Window
	}
	consumers, err := p.queue.Consumers(ctx)
	if err != nil { // what is seen next is soon enough
		p.log.Debug("looking who is present", zap.Error(err))
		return max(pipeline.LeastWindow/p.runs(), PublishChunk)
	}
	workers := 0
	for _, c := range consumers {
		if c.Run != run {
			continue
		}
		for _, gpu := range c.GPUs {
			workers += pipeline.Workers(max(0, gpu.Slots))
		}
	}
	return max(pipeline.LeastWindow/p.runs(), PublishChunk, pipeline.WindowEach*workers)
}

// publishBatches publishes consecutive batches and marks those that are on the queue.
func (p *Publisher) publishBatches(ctx context.Context, builder *WorkBuilder, batches []pipeline.Batch) error {
	for len(batches) > 0 {
		works, err := builder.Build(ctx, batches)
		if err != nil {
			return err
		}
		if err := p.sendWorks(ctx, builder.run, works); err != nil {
			return err
		}
		batches = batches[len(works):]
	}
	return nil
}

// sendWorks publishes the messages, several at a time, and marks their batches as queued. Before it
// waits for room it marks what is on the queue: the dead letter of a batch that the store has as
// planned cannot be dropped, and dropping may be what makes room. What is too large for the server
// is divided, see divide.
func (p *Publisher) sendWorks(ctx context.Context, run pipeline.Run, works []pipeline.Work) error {
	room := &outage.Loop{
		Log:  p.log,
		Away: "the queue has no room; waiting until it takes batches again, nothing is lost", Back: "the queue takes batches again",
		Fields: []zap.Field{zap.String("run", run.Name)}, Reporter: &p.full,
	}
	n, rest := len(works), p.cfg.Poll
	for len(works) > 0 {
		left, large, err := p.sendUntilFull(ctx, run, works[:n], room)
		if err != nil {
			return err
		}
		parts, err := p.divide(ctx, run, large)
		if err != nil {
			return err
		}
		works = slices.Concat(left, parts, works[n:])
		switch {
		case len(left) == 0:
			n, rest = len(works), p.cfg.Poll
			continue
		}
		n = 1 // a refused message costs its traffic, too: one is enough to see whether there is room
		if err := outage.Sleep(ctx, rest); err != nil {
			return err
		}
		rest = min(2*rest, 5*p.cfg.Poll)
	}
	return nil
}

// sendUntilFull publishes messages until there is no room, and marks their batches. It returns the
// messages that are left, and those that are too large for the server.
func (p *Publisher) sendUntilFull(ctx context.Context, run pipeline.Run, works []pipeline.Work, room *outage.Loop) (left, tooLarge []pipeline.Work, err error) {
	group, publishing := errgroup.WithContext(ctx)
	group.SetLimit(publishAtOnce)
	sent, large, before := make([]bool, len(works)), make([]bool, len(works)), p.count.Load()
	var full atomic.Bool
	for i, work := range works {
		if full.Load() {
			break
		}
		group.Go(func() (err error) {
			sent[i], err = p.sendOne(publishing, work, room)
			if large[i] = errors.As(err, new(*pipeline.SizeError)); large[i] {
				return nil
			}
			if err == nil && !sent[i] {
				full.Store(true)
			}
			return err
		})
	}
	failure := group.Wait()
	// If some were refused, those that were not were only quicker.
	if !full.Load() && p.count.Load() > before {
		room.Observe(nil)
	}
	var indexes []int
	for i, work := range works {
		switch {
		case sent[i]:
			indexes = append(indexes, work.Batch)
		case large[i]:
			tooLarge = append(tooLarge, work)
		default:
			left = append(left, work)
		}
	}
	// Mark them even if the others failed or ctx ended: a batch that is not marked is published
	// again, which does no harm and wastes its generation.
	if len(indexes) > 0 {
		p.tellPublished(ctx, run)
	}
	marking, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	p.forgetLarge(run, indexes)
	return left, tooLarge, errors.Join(failure, p.mark(marking, run, indexes))
}

// tellPublished wakes the consumers that wait for a run, once in this process.
func (p *Publisher) tellPublished(ctx context.Context, run pipeline.Run) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.said[run.UID] {
		return
	}
	if err := p.queue.TellConsumers(ctx, run, pipeline.NewsPublished); err != nil {
		p.log.Debug("telling the consumers that the run is published; they find it out by looking", zap.Error(err))
		return
	}
	p.said[run.UID] = true
}

// mark writes to the store which batches are on the queue. It keeps what the store does not take
// for its next call. Otherwise these batches would be published and generated again and again while
// the store refuses writes.
func (p *Publisher) mark(ctx context.Context, run pipeline.Run, indexes []int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	indexes = append(p.unmarked[run.UID], indexes...)
	if len(indexes) == 0 {
		return nil
	}
	err := p.store.MarkQueued(ctx, run.Name, indexes, time.Now().UTC())
	if err != nil {
		p.unmarked[run.UID] = indexes
		return err
	}
	delete(p.unmarked, run.UID)
	return nil
}

// sendOne publishes a message, and reports whether it is on the queue. If not, there is no room.
func (p *Publisher) sendOne(ctx context.Context, work pipeline.Work, room *outage.Loop) (bool, error) {
	err := p.queue.Publish(ctx, work)
	switch {
	case err == nil:
		p.count.Add(1)
		p.cfg.Metrics.published.Inc()
		return true, nil
	case errors.Is(err, pipeline.ErrOutstanding):
		return true, nil
	case !errors.Is(err, pipeline.ErrFull):
		return false, fmt.Errorf("publishing batch %s: %w", work.ID(), err)
	}
	p.cfg.Metrics.full.Inc()
	room.Observe(err)
	return false, nil
}
