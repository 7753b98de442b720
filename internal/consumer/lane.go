package consumer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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
const spareBatches = pipeline.SpareWorkers

// A lane is one GPU with its model server: it generates batches. A batch and its generations pass
// four guards, in this order:
//
//   - batches lets in as many workers as there may be batches in hand,
//   - breaker lets them in while batches can succeed,
//   - times lets a batch in that would end before the deadline,
//   - slots lets a generation in when the server has a slot for it.
//
// What comes of it is kept only if model and prompts say that the server did what it was asked.
type lane struct {
	id         pipeline.LaneID
	auto       bool
	workers    int      // that it can ever use
	batches    *limiter // of workers that have, or ask for, a batch
	breaker    *breaker
	times      *batchTimes
	slots      *limiter  // of generations
	overload   *overload // of this process; nil: there is none
	meter      *autotune.SpeedMeter
	requests   *requester
	model      *modelGuard
	prompts    *promptCheck
	record     *record
	rests      *rests
	inHand     *inHand
	yield      *yield
	passed     chan pipeline.Delivery[pipeline.Work] // from other lanes of the process, to workers without a batch
	run        *runWatch
	supervisor *supervise.Supervisor // of the server, if the consumer runs it itself
	answers    throughput
	log        *zap.Logger

	mu           sync.Mutex
	serverSlots  int             // generations at a time that its server can do at present
	wantedSlots  int             // how many of them to use, if there are that many
	context      int             // tokens of prompt and answer together; 0: not known
	contextSaid  int             // the one that was compared with the run's longest prompt
	said         map[string]bool // in the log, what is said once
	oneBatchEach bool            // until it is known how long batches take, none has to wait for a slot; nor in a row of verdicts
}

// newLane returns a lane that uses all its slots. With a deadline it takes spare batches only when
// it knows how long batches take.
func newLane(gpu LaneConfig, cfg Config, run *runWatch) *lane {
	log := cfg.Log.With(zap.String("gpu", gpu.Name))
	meter := autotune.NewSpeedMeter()
	l := &lane{
		id: pipeline.LaneID{Consumer: cfg.Identity.ID, GPU: gpu.Name}, auto: gpu.Auto, workers: gpu.Slots + spareBatches,
		breaker: newBreaker(gpu.Name, cfg.Rest, log), times: newBatchTimes(), meter: meter, record: &record{}, rests: &rests{}, inHand: newInHand(cfg.AnswerLimit), yield: newYield(), run: run, log: log,
		batches: &limiter{}, slots: &limiter{onChange: meter.Note}, passed: make(chan pipeline.Delivery[pipeline.Work]),
		serverSlots: gpu.Slots, wantedSlots: gpu.Slots, context: gpu.Context, oneBatchEach: !cfg.Deadline.IsZero(),
	}
	cfg.Log = log
	l.requests = newRequester(gpu.Backend, cfg, l.slots, l.breaker, meter, l.record, func() int { return run.Info().Generations })
	l.breaker.probe = func(ctx context.Context, failed pipeline.Request) error { return l.requests.Canary(ctx, failed, true) }
	l.model = newModelGuard(cfg, gpu, run, l.breaker)
	l.model.another = l.restart
	l.prompts = newPromptCheck(l.requests, l.breaker)
	l.setLimits()
	return l
}

// Generate returns what comes of a batch. One that was delivered too often is not run.
func (l *lane) Generate(ctx context.Context, delivery pipeline.Delivery[pipeline.Work], ticket *ticket) *outcome {
	work, o := delivery.Body, &outcome{}
	if delivery.Deliveries > maxDeliveries {
		for _, generation := range work.Generations {
			o.failures = append(o.failures, l.verdict(l.retry(work, generation), pipeline.Completion{},
				pipeline.Fail(pipeline.Undeliverable, "delivered %d times without an outcome, not run again", delivery.Deliveries)))
		}
		return o // the model has nothing to do with it
	}
	o.model = l.model.Look(ctx)
	if l.model.Unpinned(l.run.Info()) {
		l.run.AskForPin()
	}
	for _, generation := range work.Generations {
		r := l.retry(work, generation)
		r.wanted = ticket.Stopped
		if err := l.generate(ctx, work, r, o); err != nil {
			o.open = graver(o.open, err)
			if endsBatch(err) || errors.Is(err, errSetAside) {
				break
			}
		}
	}
	return o
}

// generate adds the answer to a generation, or the verdict on it, to the outcome of its batch. The
// error is why it has neither.
func (l *lane) generate(ctx context.Context, work pipeline.Work, r *retry, o *outcome) error {
	begun := l.record.Begin()
	completion, err := r.Run(ctx)
	if err == nil {
		l.record.Answered(begun, completion)
		l.resize()
		l.answers.Add(completion.OutputTokens)
		if err := l.prompts.Check(ctx, r.request, completion); err != nil {
			return err
		}
		o.answer(result(work, r, completion), begun)
		return nil
	}
	l.log.Debug("no answer", zap.String("batch", work.ID()), zap.Int("generation", r.generation.Index),
		zap.String("class", string(pipeline.ClassOf(err))), zap.Int("attempts", r.attempts), zap.Error(err))
	if !answered(err) {
		return err
	}
	verdict := l.verdict(r, completion, err)
	streak := 0
	verdict.Outcome, streak = l.record.Verdict(r.request, err)
	l.resize()
	if streak >= streakLimit {
		l.breaker.Doubt(streak, err, r.request)
	}
	o.failures = append(o.failures, verdict)
	return nil
}

func (l *lane) retry(work pipeline.Work, generation pipeline.Generation) *retry {
	return &retry{
		gpu: l.requests, generation: generation, request: work.Request(generation), context: l.contextLength, judged: len(work.Judged) > 0,
		otherSeed: pipeline.Seed(generation.Seed, pipeline.GenerationID(work.Run, generation.Item, generation.Sample)),
	}
}

func result(work pipeline.Work, r *retry, completion pipeline.Completion) pipeline.Result {
	result := pipeline.Result{
		Index: r.generation.Index, Item: r.generation.Item, Sample: r.generation.Sample,
		Text: completion.Text, Reasoning: completion.Reasoning, Finish: completion.Finish,
		PromptTokens: completion.PromptTokens, OutputTokens: completion.OutputTokens, ThinkingTokens: completion.ThinkingTokens,
		DurationMS: int(completion.Duration.Milliseconds()), CreatedAt: time.Now().UTC().Truncate(time.Millisecond),
	}
	if work.Reseeded || r.reseeded {
		result.Seed = r.request.Seed
	}
	return result
}

// confirm returns nil if what came of a batch may be kept.
func (l *lane) confirm(ctx context.Context, o *outcome) error {
	if l.breaker.Held(holdPrompts) {
		return fmt.Errorf("%w: its server cuts prompts", errSetAside)
	}
	return l.model.Confirm(ctx, o.model)
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
		l.resize()
	}, fits
}

// resize sets the limits where they may have changed.
func (l *lane) resize() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.setLimits()
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
	if l.overload != nil {
		slots = l.overload.Of(slots)
	}
	l.slots.SetLimit(slots)
	if l.oneBatchEach && !l.times.Known() || l.record.Streak() >= fewVerdicts {
		l.batches.SetLimit(slots)
	} else {
		l.batches.SetLimit(slots + spareBatches)
	}
}

func (l *lane) contextLength() int {
	if now := l.model.Known().Context; now > 0 { // another client may have had the server change it
		return now
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.context
}

// status returns what people see of the GPU.
func (l *lane) status() pipeline.GPUStatus {
	s := pipeline.GPUStatus{Name: l.id.GPU}
	if s.State, s.Detail = l.breaker.State(); s.State == pipeline.GPUServing && s.Detail == "" {
		s.Detail = cmp.Or(l.requests.Says(), l.model.Known().Note)
	}
	s.Busy, s.Slots = l.slots.InUse()
	s.TokensPerSecond = l.answers.PerSecond(l.requests.since(), s.Busy > 0)
	s.Generations, s.OutputTokens = l.answers.Totals()
	model := l.model.Known()
	s.Engine, s.Digest, s.Context = model.Engine, digestOf(model), l.contextLength()
	s.Proven, s.Doubted = l.record.Proven(), l.record.Doubted()
	s.Thoughts = l.record.Thoughts()
	l.rests.report(&s)
	l.inHand.report(&s)
	return s
}
