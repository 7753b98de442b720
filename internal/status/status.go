// Package status combines what the store and the streams know about a run into one Snapshot with
// rates. The status command, the progress bars and the summaries show it.
package status

import (
	"context"
	"errors"
	"iter"
	"time"

	"gleaner/internal/failures"
	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

// Store is the part of the store that knows about a run.
type Store interface {
	Run(ctx context.Context, name string) (pipeline.Run, error)
	Progress(ctx context.Context, run string, since time.Time) (pipeline.Progress, error)
	Consumers(ctx context.Context, run string, since time.Time) ([]pipeline.Presence, error)
	Measure(ctx context.Context, run string) (pipeline.Measures, error)
}

// Streams are what NATS knows about a run.
type Streams interface {
	Depth(ctx context.Context, run string) (pipeline.StreamDepth, error)
	RunInfo(ctx context.Context, run string) (pipeline.RunInfo, error)
	Consumers(ctx context.Context) ([]pipeline.Presence, error)
	DeadLetters(ctx context.Context, run string) iter.Seq2[pipeline.StoredDeadLetter, error]
	NoRoom(ctx context.Context, queued bool) string
}

// A Snapshot is the state of a run at one moment.
type Snapshot struct {
	Run         string                         `json:"run"`
	State       State                          `json:"state"`
	StoredState pipeline.RunState              `json:"stored_state"` // what the store's run says, which decides what may be done with it
	Model       string                         `json:"model"`
	Simulated   bool                           `json:"simulated,omitempty"` // its answers are made up
	Pins        map[pipeline.EngineName]string `json:"pins,omitempty"`      // digests of which its answers have to be, see pipeline.Run
	Dataset     string                         `json:"dataset"`
	Items       int                            `json:"items"`
	Skipped     int                            `json:"skipped,omitempty"` // rows of the dataset that were left out because they could not be used
	Generations int                            `json:"generations"`
	Stored      int                            `json:"stored"`
	Failed      int                            `json:"failed"`
	Dropped     int                            `json:"dropped"`
	Refused     int                            `json:"refused_batches,omitempty"` // of which an answer was refused: it was of another digest, or came without its token
	Batches     map[pipeline.BatchState]int    `json:"batches"`

	PromptTokens    int           `json:"prompt_tokens"`
	OutputTokens    int           `json:"output_tokens"`
	ThinkingTokens  int           `json:"thinking_tokens,omitempty"` // about how many of the output tokens were thinking
	TokensPerSecond float64       `json:"tokens_per_second"`         // output tokens, lately
	PerSecond       float64       `json:"generations_per_second"`
	ETA             time.Duration `json:"-"`                     // at the present rate; 0: unknown or nothing left
	ETASeconds      float64       `json:"eta_seconds,omitempty"` // the same
	FirstDone       time.Time     `json:"first_done,omitzero"`
	LastDone        time.Time     `json:"last_done,omitzero"`

	// What the stored answers come to, and how fast they were made, of the time of work alone; of a
	// run of many answers it is not known.
	Answers             *pipeline.Measures `json:"answers,omitempty"`
	WorkSeconds         float64            `json:"work_seconds,omitempty"`
	MeanTokensPerSecond float64            `json:"mean_tokens_per_second,omitempty"` // output tokens

	Unstored    int                   `json:"unstored,omitempty"` // answers that are generated and not stored, where that is known
	Stream      *pipeline.StreamDepth `json:"stream,omitempty"`   // nil: the stream could not be asked
	StreamError string                `json:"stream_error,omitempty"`
	Consumers   []pipeline.Presence   `json:"consumers"`
	Missing     []Missing             `json:"missing,omitempty"` // consumers that were present and are not, where somebody goes on looking
	// MoreConsumers is how many are present besides those.
	MoreConsumers int `json:"more_consumers,omitempty"`

	// As far as the streams and the consumers say it.
	AwaitOpinion int                  `json:"await_opinion,omitempty"` // generations that failed and are tried by another GPU
	Resting      *Resting             `json:"resting,omitempty"`       // nil: nothing rests
	Failures     []failures.Group     `json:"failures,omitempty"`      // why generations failed, and what helps; of the first thousand dead letters
	Overdue      []pipeline.HeldBatch `json:"overdue,omitempty"`       // in progress for longer than their answers may take
	TooOld       []string             `json:"too_old,omitempty"`       // consumers whose answers are refused, because they bring no tokens back
}

// streamsPatience is how long the streams may be silent where a person waits.
const streamsPatience = 3 * time.Second

const (
	window   = 5 * time.Minute  // the longest period for rates
	presence = 10 * time.Minute // how long ago the store saw a consumer that is shown without the streams
)

// RunsStore is the part of the store that knows all runs.
type RunsStore interface {
	Runs(ctx context.Context) ([]pipeline.Run, error)
	Progress(ctx context.Context, run string, since time.Time) (pipeline.Progress, error)
	Consumers(ctx context.Context, run string, since time.Time) ([]pipeline.Presence, error)
}

// All looks at all runs, by name, as the store alone knows them. Idle says that no consumer can
// work on them: the store remembers also those that were killed.
func All(ctx context.Context, store RunsStore, idle bool, now time.Time) ([]Snapshot, error) {
	runs, err := store.Runs(ctx)
	if err != nil {
		return nil, err
	}
	seen, err := store.Consumers(ctx, "", now.Add(-presence))
	if err != nil {
		return nil, err
	}
	snapshots := make([]Snapshot, 0, len(runs)) // none is a list, too
	for _, run := range runs {
		progress, err := lastly(ctx, store, run.Name, now)
		if err != nil {
			return nil, err
		}
		s := base(run, progress)
		its, _ := of(run.Name, seen)
		if idle {
			its = nil
		}
		s.rate(progress, now)
		s.decide(signs{now: now, run: run, last: progress.LastDone, present: its, sees: idle})
		snapshots = append(snapshots, s)
	}
	return snapshots, nil
}

// Take returns the Snapshot of a run. If streams is nil or the streams are away, it says what the
// store alone knows. Its errors are those of the store, such as pipeline.ErrNoRun. Where ctx has a
// patience, the streams get a few seconds of it, so that some is left for the store.
func Take(ctx context.Context, store Store, streams Streams, name string, now time.Time) (Snapshot, error) {
	run, err := store.Run(ctx, name)
	if err != nil {
		return Snapshot{}, err
	}
	progress, err := lastly(ctx, store, name, now)
	if err != nil {
		return Snapshot{}, err
	}
	s, g := base(run, progress), signs{now: now, run: run, last: progress.LastDone}
	if streams != nil {
		asking := ctx
		if !outage.IsPatient(ctx) {
			asking = outage.WithPatience(ctx, streamsPatience)
		}
		s.ask(asking, streams, &g)
	}
	if s.Stream == nil {
		seen, err := store.Consumers(ctx, name, now.Add(-presence))
		if err != nil {
			return Snapshot{}, err
		}
		s.Consumers = append(s.Consumers, seen...)
	}
	g.present = s.Consumers
	s.Consumers, s.MoreConsumers = pipeline.Shown(s.Consumers)
	for _, c := range s.Consumers {
		if run.TooOld(c) {
			s.TooOld = append(s.TooOld, c.ID)
		}
	}
	s.Resting = restingOf(s.Consumers)
	if s.Stream != nil {
		s.Overdue = pipeline.Overdue(s.Run, s.Consumers)
	}
	if err := s.measure(ctx, store); err != nil {
		return Snapshot{}, err
	}
	s.rate(progress, now)
	s.decide(g)
	return s, nil
}

// lastly returns how far a run is, and what was done of it in the last half minute; or in the last
// minutes, if its batches are so slow that none was done in that.
func lastly(ctx context.Context, store interface {
	Progress(ctx context.Context, run string, since time.Time) (pipeline.Progress, error)
}, run string, now time.Time) (progress pipeline.Progress, err error) {
	for _, over := range []time.Duration{rateOver, window} {
		since := now.Add(-over)
		if progress, err = store.Progress(ctx, run, since); err != nil {
			return progress, err
		}
		if progress.Since.Before(since) {
			progress.Since = since
		}
		if progress.RecentGenerations > 0 || now.Sub(progress.LastDone) >= window {
			break
		}
	}
	return progress, nil
}

// mostMeasured is how many answers are read to measure a run: more take a person's patience.
const mostMeasured = 500_000

// measure adds what the stored answers come to.
func (s *Snapshot) measure(ctx context.Context, store Store) error {
	if s.Stored == 0 || s.Stored > mostMeasured {
		return nil
	}
	m, err := store.Measure(ctx, s.Run)
	if err != nil || m.Answers == 0 {
		return err
	}
	s.Answers, s.WorkSeconds = &m, m.Work.Seconds()
	if m.Work > 0 {
		s.MeanTokensPerSecond = float64(s.OutputTokens) / max(s.WorkSeconds, 0.001)
	}
	return nil
}

// ask adds what the streams know, or why they do not answer.
func (s *Snapshot) ask(ctx context.Context, streams Streams, g *signs) {
	depth, err := streams.Depth(ctx, s.Run)
	if err != nil && !errors.Is(err, pipeline.ErrNoRun) { // a run that is not published yet is not on the streams
		s.StreamError = err.Error()
		return
	}
	consumers, err := streams.Consumers(ctx)
	if err != nil {
		s.StreamError = err.Error()
		return
	}
	info, err := streams.RunInfo(ctx, s.Run)
	if err != nil && !errors.Is(err, pipeline.ErrNoRun) {
		s.StreamError = err.Error()
		return
	}
	if s.Failed > 0 {
		if s.Failures, err = failed(streams.DeadLetters(ctx, s.Run), g.run); err != nil {
			s.StreamError = err.Error()
			return
		}
	}
	if depth.Waiting == 0 {
		depth.Full = streams.NoRoom(ctx, depth.Held > 0)
	}
	s.Stream, s.AwaitOpinion = &depth, info.AwaitOpinion
	s.Consumers, g.elsewhere = of(s.Run, consumers)
	g.sees, g.depth = true, &depth
	if info.Run != "" {
		g.info = &info
	}
}

// base returns what the store says of a run.
func base(run pipeline.Run, p pipeline.Progress) Snapshot {
	s := Snapshot{
		Run: run.Name, StoredState: run.State, Model: run.Spec.Model, Simulated: run.Spec.Simulated, Pins: run.Pins, Dataset: run.Spec.Dataset.Name,
		Items: run.Items, Skipped: run.Spec.Dataset.Skipped, Generations: run.Generations,
		Stored: p.Stored, Failed: p.Failed, Dropped: p.Dropped, Refused: p.Refused, Batches: p.Batches,
		PromptTokens: p.PromptTokens, OutputTokens: p.OutputTokens, ThinkingTokens: p.ThinkingTokens, FirstDone: p.FirstDone, LastDone: p.LastDone,
		Consumers: []pipeline.Presence{}, // without consumers the JSON has an empty list
	}
	if s.Batches == nil {
		s.Batches = map[pipeline.BatchState]int{}
	}
	return s
}

// rate computes the rates of the last minutes. Batches done in the window were generated since its
// beginning, or since the run's first batch was done.
func (s *Snapshot) rate(p pipeline.Progress, now time.Time) {
	if p.RecentGenerations == 0 {
		return
	}
	begin := p.FirstDone
	if p.Since.After(begin) {
		begin = p.Since
	}
	seconds := max(min(window, now.Sub(begin)).Seconds(), 1)
	s.PerSecond = float64(p.RecentGenerations) / seconds
	s.TokensPerSecond = float64(p.RecentTokens) / seconds
}
