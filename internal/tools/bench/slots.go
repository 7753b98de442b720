package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"gleaner/internal/cli"
	"gleaner/internal/consumer"
	"gleaner/internal/ollama"
	"gleaner/internal/pipeline"
)

// slotsCmd is the command that measures fixed numbers of slots beside the one that the consumer
// finds.
type slotsCmd struct {
	Ollama string        `required:"" placeholder:"URL" help:"A server that runs, with as many slots as the largest number (OLLAMA_NUM_PARALLEL)."`
	Model  string        `default:"small" help:"Model to measure with."`
	Fixed  []int         `default:"1,2,4,8" help:"Fixed numbers; the largest is the limit for auto."`
	Rounds int           `default:"5" help:"How often everything is measured, in turn."`
	For    time.Duration `default:"10s" help:"How long a number is measured."`
	Search time.Duration `default:"10m" help:"How long auto may search."`
	Tokens int           `default:"60" help:"Length of an answer."`
}

func (c *slotsCmd) Run(ctx context.Context, t *cli.Terminal) error {
	if len(c.Fixed) == 0 || slices.Min(c.Fixed) < 1 || c.Rounds < 1 || c.For <= 0 {
		return cli.Usage("fixed numbers, rounds and times have to be positive")
	}
	client, err := ollama.New(c.Ollama, ollama.Config{Slots: slices.Max(c.Fixed)})
	if err != nil {
		return err
	}
	if err := client.WarmUp(ctx, c.Model); err != nil {
		return err
	}
	fmt.Fprintln(t.Out, thisMachine())
	rates := map[string][]float64{}
	for round := range c.Rounds {
		for _, n := range append(slices.Clone(c.Fixed), 0) {
			rate, found, took, err := c.measure(ctx, client, n)
			if err != nil {
				return err
			}
			name := fmt.Sprint(n)
			if n == 0 {
				name = "auto"
			}
			rates[name] = append(rates[name], rate)
			fmt.Fprintf(t.Out, "round %d: slots %s: %.0f tokens/s", round+1, name, rate)
			if n == 0 {
				fmt.Fprintf(t.Out, " with %d slots, found in %s", found, took.Round(time.Second))
			}
			fmt.Fprintln(t.Out)
		}
	}
	for _, name := range append(strings.Fields(strings.Trim(fmt.Sprint(c.Fixed), "[]")), "auto") {
		slices.Sort(rates[name])
		fmt.Fprintf(t.Out, "slots %s: median %.0f tokens/s of %.0f\n", name, rates[name][len(rates[name])/2], rates[name])
	}
	return ctx.Err()
}

// measure returns the tokens a second with n slots, the number of slots, and how long it took to
// find it. For n = 0 the consumer finds the number itself.
func (c *slotsCmd) measure(ctx context.Context, client *ollama.Client, n int) (rate float64, found int, took time.Duration, _ error) {
	settled := make(chan struct{}, 1)
	log := zap.New(zapcore.NewNopCore())
	gpu := consumer.LaneConfig{Name: "real", Slots: n}
	model := &counted{client: client, tokens: c.Tokens}
	gpu.Backend = model
	if n == 0 {
		gpu.Slots, gpu.Auto = slices.Max(c.Fixed), true
		log = zap.New(foundCore{zapcore.NewNopCore(), settled})
	}
	queue := &prompts{model: c.Model}
	engine, err := consumer.New(consumer.Config{Identity: pipeline.Presence{ID: "bench"}, Grace: time.Millisecond, Log: log}, func() consumer.WorkQueue { return queue }, nowhere{}, []consumer.LaneConfig{gpu})
	if err != nil {
		return 0, 0, 0, err
	}
	running, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- engine.Run(running) }()
	defer func() { stop(); <-done }()
	began, wait := time.Now(), 2*time.Second // until all slots are in use
	if n == 0 {
		wait = c.Search
	}
	select {
	case <-settled:
	case <-time.After(wait):
	case <-ctx.Done():
	}
	took = time.Since(began)
	before, since := model.made.Load(), time.Now()
	select {
	case <-time.After(c.For):
	case <-ctx.Done():
	}
	return float64(model.made.Load()-before) / time.Since(since).Seconds(), engine.Snapshot().GPUs[0].Slots, took, ctx.Err()
}

// foundCore is a log that notices the consumer's message that it has found the number of slots.
type foundCore struct {
	zapcore.Core
	settled chan struct{}
}

func (c foundCore) Enabled(level zapcore.Level) bool { return level == zap.InfoLevel }

func (c foundCore) With([]zap.Field) zapcore.Core { return c }

func (c foundCore) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if strings.Contains(e.Message, "measured how many slots") {
		select {
		case c.settled <- struct{}{}:
		default:
		}
	}
	return checked
}

// counted is a model that counts tokens. It takes a truncated answer for a complete one, because
// the length is chosen to be reached.
type counted struct {
	client *ollama.Client
	tokens int
	made   atomic.Int64
}

func (m *counted) Generate(ctx context.Context, r pipeline.Request) (pipeline.Completion, error) {
	onTokens := r.OnTokens
	r.OnTokens = func(n int) {
		m.made.Add(int64(n))
		if onTokens != nil {
			onTokens(n)
		}
	}
	r.Options.NumPredict = m.tokens/2 + r.Seed%m.tokens // mixed
	completion, err := m.client.Generate(ctx, r)
	if pipeline.ClassOf(err) == pipeline.Truncated {
		completion.Text, completion.Finish, err = "cut off", "stop", nil
	}
	return completion, err
}

// prompts is a queue that never runs empty.
type prompts struct {
	model string
	batch atomic.Int64
}

func (p *prompts) Next(ctx context.Context) (pipeline.Delivery[pipeline.Work], error) {
	work := pipeline.Work{Run: "bench", UID: "bench", Batch: int(p.batch.Add(1)), Round: 1, Model: p.model, Options: pipeline.Options{NumPredict: 1}}
	for i := range 8 {
		n := 8*work.Batch + i
		work.Generations = append(work.Generations, pipeline.Generation{Index: i, Item: n, Seed: 7919 * n, Messages: pipeline.User(fmt.Sprintf("Tell me of the number %d.", n))})
	}
	return pipeline.Delivery[pipeline.Work]{Body: work, Deliveries: 1, Receipt: nowhere{}}, ctx.Err()
}

// nowhere accepts everything and keeps nothing.
type nowhere struct{}

func (nowhere) PublishResults(context.Context, pipeline.Results) error       { return nil }
func (nowhere) PublishDeadLetter(context.Context, pipeline.DeadLetter) error { return nil }
func (nowhere) PutPresence(context.Context, pipeline.Presence) error         { return nil }
func (nowhere) Extend(context.Context) error                                 { return nil }
func (nowhere) Ack(context.Context) error                                    { return nil }
func (nowhere) HandBack(context.Context, time.Duration) error                { return nil }
func (nowhere) Reject(context.Context, string) error                         { return nil }
