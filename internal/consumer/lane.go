package consumer

import (
	"context"
	"math"
	"sync"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/autotune"
	"gleaner/internal/pipeline"
	"gleaner/internal/supervise"
)

// spareBatches is how many more batches than slots are in hand: while some are published or
// fetched, the slots still have others to work on.
const spareBatches = 2

// A lane is one GPU with its model server: it generates batches. A batch and its generations pass
// four guards, in this order:
//
//   - batches lets in as many workers as there may be batches in hand,
//   - breaker lets them in while batches can succeed,
//   - times lets a batch in that would end before the deadline,
//   - slots lets a generation in when the server has a slot for it.
type lane struct {
	name       string
	auto       bool
	workers    int      // that it can ever use
	batches    *limiter // of workers that have, or ask for, a batch
	breaker    *breaker
	times      *batchTimes
	slots      *limiter // of generations
	meter      *autotune.SpeedMeter
	requests   *requester
	supervisor *supervise.Supervisor // of the server, if the consumer runs it itself
	answers    throughput
	log        *zap.Logger

	mu           sync.Mutex
	serverSlots  int  // generations at a time that its server can do at present
	wantedSlots  int  // how many of them to use, if there are that many
	context      int  // tokens of prompt and answer together; 0: not known
	oneBatchEach bool // until it is known how long batches take, none has to wait for a slot
}

// newLane returns a lane that uses all its slots. With a deadline it takes spare batches only when
// it knows how long batches take.
func newLane(cfg LaneConfig, rest time.Duration, hasDeadline bool, log *zap.Logger) *lane {
	log = log.With(zap.String("gpu", cfg.Name))
	meter := autotune.NewSpeedMeter()
	l := &lane{
		name: cfg.Name, auto: cfg.Auto, workers: cfg.Slots + spareBatches, breaker: newBreaker(cfg.Name, rest, log), times: newBatchTimes(), meter: meter, log: log,
		batches: &limiter{}, slots: &limiter{onChange: meter.Note},
		serverSlots: cfg.Slots, wantedSlots: cfg.Slots, context: cfg.Context, oneBatchEach: hasDeadline,
	}
	l.requests = newRequester(cfg.Backend, l.slots, l.breaker, meter, log)
	l.breaker.probe = func(ctx context.Context, failed pipeline.Request) error { return l.requests.Canary(ctx, failed, true) }
	l.setLimits()
	return l
}

// Generate returns what comes of a batch. One that was delivered too often is not run.
func (l *lane) Generate(ctx context.Context, delivery pipeline.Delivery[pipeline.Work]) *outcome {
	work, o := delivery.Body, &outcome{}
	for _, generation := range work.Generations {
		if delivery.Deliveries > maxDeliveries {
			o.fail(generation, 0, pipeline.Fail(pipeline.Undeliverable, "delivered %d times without an outcome, not run again", delivery.Deliveries))
			continue
		}
		r := l.retry(work, generation)
		completion, err := r.Run(ctx)
		if err == nil {
			l.answers.Add(completion.OutputTokens)
			o.results = append(o.results, result(work, generation, r, completion))
			continue
		}
		l.log.Debug("no answer", zap.String("batch", work.ID()), zap.Int("generation", generation.Index),
			zap.String("class", string(pipeline.ClassOf(err))), zap.Int("attempts", r.attempts), zap.Error(err))
		if answered(err) { // but that is no result
			o.fail(generation, r.attempts, err)
			continue
		}
		o.open = graver(o.open, err)
		if endsBatch(err) {
			break
		}
	}
	return o
}

func (l *lane) retry(work pipeline.Work, generation pipeline.Generation) *retry {
	return &retry{
		gpu: l.requests, request: work.Request(generation), context: l.contextLength, generations: l.requests.generations,
		otherSeed: pipeline.Seed(generation.Seed, pipeline.GenerationID(work.Run, generation.Item, generation.Sample)),
	}
}

func result(work pipeline.Work, generation pipeline.Generation, r *retry, completion pipeline.Completion) pipeline.Result {
	result := pipeline.Result{
		Index: generation.Index, Item: generation.Item, Sample: generation.Sample,
		Text: completion.Text, Finish: completion.Finish,
		PromptTokens: completion.PromptTokens, OutputTokens: completion.OutputTokens,
		DurationMS: int(completion.Duration.Milliseconds()), CreatedAt: time.Now().UTC().Truncate(time.Millisecond),
	}
	if work.Reseeded || r.reseeded {
		result.Seed = r.request.Seed
	}
	return result
}

// reserve keeps room for a batch that ends before the cutoff, if it fits. The caller then has to
// call start.
func (l *lane) reserve(cutoff time.Time) bool {
	return l.times.Reserve(l.Slots(), timeUntil(cutoff))
}

// start ends a reservation: if a batch came for it, and still fits, it is in hand until end is
// called, with whether it is done.
func (l *lane) start(cutoff time.Time, came bool) (end func(done bool), fits bool) {
	ended, fits := l.times.Start(l.Slots(), timeUntil(cutoff), came)
	return func(done bool) {
		ended(done)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.setLimits()
	}, fits
}

// timeUntil returns the time until t; zero is never.
func timeUntil(t time.Time) time.Duration {
	if t.IsZero() {
		return math.MaxInt64
	}
	return time.Until(t)
}

// setLimits sets both limiters for the slots in force. The caller holds mu, or is the only one.
func (l *lane) setLimits() {
	slots := min(l.wantedSlots, l.serverSlots)
	l.slots.SetLimit(slots)
	if l.oneBatchEach && !l.times.Known() {
		l.batches.SetLimit(slots)
	} else {
		l.batches.SetLimit(slots + spareBatches)
	}
}

func (l *lane) contextLength() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.context
}

// status returns what people see of the GPU.
func (l *lane) status() pipeline.GPUStatus {
	s := pipeline.GPUStatus{Name: l.name, TokensPerSecond: l.answers.PerSecond(l.requests.since())}
	if s.State, s.Detail = l.breaker.State(); s.State == pipeline.GPUServing && s.Detail == "" {
		s.Detail = l.requests.Says()
	}
	s.Busy, s.Slots = l.slots.InUse()
	s.Generations, s.OutputTokens = l.answers.Totals()
	return s
}
