package producer

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"gleaner/internal/pipeline"
)

// queue is where batches are published.
type queue interface {
	EnsureRun(ctx context.Context, run pipeline.Run) error
	// Publish returns pipeline.ErrOutstanding if the batch is queued already and pipeline.ErrFull if there is no room.
	Publish(ctx context.Context, work pipeline.Work) error
	Depth(ctx context.Context, run string) (pipeline.Depth, error)
}

// Config says how a run is published. Zero values mean the defaults.
type Config struct {
	Window  int           // batches outstanding at a time, at most; default 2,000
	Poll    time.Duration // how often the run is looked at while waiting; default 1 s
	Metrics *Metrics      // nil: none
	Log     *zap.Logger
}

const (
	publishChunk    = 100 // batches read from the ledger at once
	publishItems    = 256 // items read from the ledger at once
	publishAtOnce   = 16  // publishes that wait for their confirmation at the same time
	defaultWindow   = 2000
	defaultPoll     = time.Second
	recentForRate   = 5 * time.Minute
	maxPublishBytes = 16 << 20 // of rendered prompts in memory at once, about
)

// A Publisher puts the batches of a run on the queue and follows the run to its end. Several of them for the same
// run are harmless: a batch can be on the queue only once.
type Publisher struct {
	cfg    Config
	ledger ledger
	queue  queue
	log    *zap.Logger
	count  atomic.Int64 // batches published by this publisher
}

// NewPublisher returns a publisher from this ledger to this queue.
func NewPublisher(cfg Config, from ledger, to queue) (*Publisher, error) {
	if cfg.Window < 0 {
		return nil, fmt.Errorf("producer: window %d is negative", cfg.Window)
	}
	if cfg.Window == 0 {
		cfg.Window = defaultWindow
	}
	if cfg.Poll == 0 {
		cfg.Poll = defaultPoll
	}
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics(nil)
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	return &Publisher{cfg: cfg, ledger: from, queue: to, log: cfg.Log}, nil
}

// Published returns how many batches this publisher has put on the queue so far.
func (p *Publisher) Published() int { return int(p.count.Load()) }

// Publish puts all planned batches of a run on the queue and returns when none is planned any more, or with ctx's
// error. While the queue has no room it waits.
func (p *Publisher) Publish(ctx context.Context, name string) error {
	run, err := p.ledger.Run(ctx, name)
	if err != nil {
		return err
	}
	if run.State != pipeline.RunOpen {
		return fmt.Errorf("run %s is %s: only a run that is loaded completely can be published", name, run.State)
	}
	prompter, err := pipeline.NewPrompter(run.Spec)
	if err != nil {
		return err
	}
	if err := p.queue.EnsureRun(ctx, run); err != nil {
		return err
	}
	for from := 0; ; {
		room, err := p.room(ctx, name)
		if err != nil {
			return err
		}
		batches, err := p.ledger.Batches(ctx, name, pipeline.Planned, from, min(room, publishChunk))
		if err != nil {
			return err
		}
		if len(batches) == 0 && from == 0 {
			return nil
		}
		if len(batches) == 0 { // some may have stayed behind: look once more from the beginning
			from = 0
			continue
		}
		if err := p.chunk(ctx, run, prompter, batches); err != nil {
			return err
		}
		from = batches[len(batches)-1].Index + 1
	}
}

// room waits until the window has room for at least one batch and returns for how many.
func (p *Publisher) room(ctx context.Context, run string) (int, error) {
	for waiting := false; ; waiting = true {
		depth, err := p.queue.Depth(ctx, run)
		if err != nil {
			return 0, err
		}
		outstanding := depth.Waiting + depth.Held
		if outstanding < p.cfg.Window {
			return p.cfg.Window - outstanding, nil
		}
		if !waiting {
			p.log.Debug("the window is full", zap.Int("outstanding", outstanding), zap.Int("window", p.cfg.Window))
		}
		if err := sleep(ctx, p.cfg.Poll); err != nil {
			return 0, err
		}
	}
}

// chunk publishes batches of neighbouring items and marks those that are on the queue.
func (p *Publisher) chunk(ctx context.Context, run pipeline.Run, prompter *pipeline.Prompter, batches []pipeline.Batch) error {
	for len(batches) > 0 {
		works, err := p.works(ctx, run, prompter, batches)
		if err != nil {
			return err
		}
		if err := p.send(ctx, run, works); err != nil {
			return err
		}
		batches = batches[len(works):]
	}
	return nil
}

// works returns the messages for the first of the batches: as many as may be in memory at once, at least one.
func (p *Publisher) works(ctx context.Context, run pipeline.Run, prompter *pipeline.Prompter, batches []pipeline.Batch) ([]pipeline.Work, error) {
	final := batches[len(batches)-1]
	end, _ := final.Generation(final.Count-1, run.Spec.Samples)
	prompts := map[int]string{} // by item
	var works []pipeline.Work
	for bytes := 0; len(works) < len(batches) && bytes < maxPublishBytes; {
		b := batches[len(works)]
		generations := make([]pipeline.Generation, 0, b.Count)
		for _, index := range b.Missing() {
			item, sample := b.Generation(index, run.Spec.Samples)
			if _, ok := prompts[item]; !ok {
				if err := p.prompts(ctx, run, prompter, item, min(publishItems, end-item+1), prompts); err != nil {
					return nil, err
				}
			}
			seed := pipeline.Seed(run.Spec.Seed, pipeline.GenerationID(run.Name, item, sample))
			generations = append(generations, pipeline.Generation{Index: index, Item: item, Sample: sample, Seed: seed, Prompt: prompts[item]})
			bytes += len(prompts[item])
		}
		works = append(works, workOf(run, b, generations))
	}
	return works, nil
}

// prompts renders the prompts of an item and of those that follow it, at most count.
func (p *Publisher) prompts(ctx context.Context, run pipeline.Run, prompter *pipeline.Prompter, first, count int, into map[int]string) error {
	items, err := p.ledger.Items(ctx, run.Name, first, count)
	if err != nil {
		return err
	}
	if len(items) == 0 || items[0].Seq != first {
		return fmt.Errorf("item %s is missing in the store", pipeline.ItemID(run.Name, first))
	}
	for _, item := range items {
		prompt, err := prompter.Render(item.Input)
		if err != nil {
			return fmt.Errorf("item %s: %w", item.ID(), err)
		}
		into[item.Seq] = prompt
	}
	return nil
}

// send publishes the messages, several at a time, and marks their batches as queued.
func (p *Publisher) send(ctx context.Context, run pipeline.Run, works []pipeline.Work) error {
	group, publishing := errgroup.WithContext(ctx)
	group.SetLimit(publishAtOnce)
	sent := make([]bool, len(works))
	for i, work := range works {
		group.Go(func() error {
			err := p.one(publishing, work)
			sent[i] = err == nil
			return err
		})
	}
	failure := group.Wait()
	var indexes []int
	for i, work := range works {
		if sent[i] {
			indexes = append(indexes, work.Batch)
		}
	}
	if len(indexes) > 0 {
		// Also when the rest failed or ctx ended: what is not marked is only published again, but then for nothing.
		marking, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		failure = errors.Join(failure, p.ledger.MarkQueued(marking, run.Name, indexes, time.Now().UTC()))
	}
	return failure
}

// one publishes a message and waits while there is no room for it.
func (p *Publisher) one(ctx context.Context, work pipeline.Work) error {
	for {
		err := p.queue.Publish(ctx, work)
		switch {
		case err == nil:
			p.count.Add(1)
			p.cfg.Metrics.published.Inc()
			return nil
		case errors.Is(err, pipeline.ErrOutstanding):
			return nil
		case !errors.Is(err, pipeline.ErrFull):
			return fmt.Errorf("publishing batch %s: %w", work.ID(), err)
		}
		p.cfg.Metrics.full.Inc()
		if err := sleep(ctx, p.cfg.Poll); err != nil {
			return err
		}
	}
}

// sleep waits for d or returns ctx's error.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
