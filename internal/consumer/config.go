package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/pipeline"
	"gleaner/internal/supervise"
)

// Config says who the consumer is and how it works. Zero values mean the defaults.
type Config struct {
	Identity pipeline.Presence // ID, Run, Host, versions, model; the engine fills in the rest
	Log      *zap.Logger

	// Lease is the time after which a batch without a sign of life goes to another consumer;
	// default pipeline.DefaultLease.
	Lease time.Duration
	// Grace is how long work in hand may go on after a stop; default 30 s.
	Grace time.Duration
	// Rest is how long a batch that failed rests the first time, doubled each time, and a GPU that
	// has to be mended; default 30 s.
	Rest time.Duration
	// FirstToken is how long a request may wait for its first token, the loading of the model and the
	// server's own queue included; default pipeline.DefaultFirstToken.
	FirstToken time.Duration
	// Stall is how long answers that have begun may bring no token; default pipeline.DefaultStall.
	Stall time.Duration
	// AnswerLimit is how long an answer may take from its first token on, as the client of the
	// server was told; default pipeline.DefaultAnswerLimit. A batch that is in hand for much longer
	// is reported.
	AnswerLimit time.Duration
	// HealthChecks are those of the servers that the consumer runs itself.
	HealthChecks supervise.HealthChecks

	// Deadline is when Run has returned: it takes no work that would not end in time, by how long
	// batches took so far, and hands back what does not. Zero: never.
	Deadline time.Time
	// IdleExit is after how long without any work Run returns. Zero: never.
	IdleExit time.Duration
	// Known is what the queue said of the run when it was chosen.
	Known pipeline.RunInfo
	// Info returns what the queue says of the run: whether it is complete, so that no work will come,
	// and what it requires. Nil: nothing is known, and Run waits for more work.
	Info func(ctx context.Context) (pipeline.RunInfo, error)
	// News has listen called with the news of the run until stop is called. Nil: there are none.
	News func(listen func(pipeline.RunNews)) (stop func(), err error)
	// Gone gets a value when the queue has found that the run is not there: then Info is asked at
	// once. Nil: it is asked when it is time.
	Gone <-chan struct{}
	// Stay goes on after the run is complete.
	Stay bool
	// Lag returns how long answers take at present until they are stored. Nil: that is not known.
	Lag func() time.Duration
}

// ClientPatience is what the client of a server has to be told to wait for a token. That a request
// gets none is found by the GPU, which knows the others.
const ClientPatience = 24 * time.Hour

// A LaneConfig is one GPU: its model server, and what that can do at once. The server runs already,
// as Backend, or the consumer runs it itself: then Launch starts it, and Backend, Context and Model
// are not set. A Backend that is a ModelReporter as well is asked about each batch which model it
// has.
type LaneConfig struct {
	Name    string
	Backend Generator
	Slots   int                // generations at a time, or if Auto the most that its server can do at once
	Context int                // tokens of prompt and answer together; 0: not known
	Model   pipeline.ModelInfo // what the server said of its model; zero: not known
	Auto    bool               // use the number of slots with which it is fastest, which is found at work and followed when it changes
	Launch  func(ctx context.Context, slots int) (supervise.Server, error)
}

// complete returns the config with its defaults, or an error that names what is missing.
func (c Config) complete() (Config, error) {
	if c.Identity.ID == "" {
		return c, errors.New("consumer: no id")
	}
	for _, d := range []struct {
		name  string
		value *time.Duration
		def   time.Duration
	}{{"lease", &c.Lease, pipeline.DefaultLease}, {"grace", &c.Grace, 30 * time.Second}, {"rest", &c.Rest, 30 * time.Second},
		{"first token", &c.FirstToken, pipeline.DefaultFirstToken}, {"stall", &c.Stall, pipeline.DefaultStall}, {"answer limit", &c.AnswerLimit, pipeline.DefaultAnswerLimit}} {
		if *d.value == 0 {
			*d.value = d.def
		}
		if *d.value < time.Millisecond {
			return c, fmt.Errorf("consumer: a %s of %s is too short", d.name, *d.value)
		}
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	c.Identity.Started, c.Identity.Tokens = time.Now().UTC(), true
	return c, nil
}

// validate returns an error that names the lane unless it has one way to a server, and slots.
func (l LaneConfig) validate(index int) error {
	if l.Slots < 1 || (l.Backend == nil) == (l.Launch == nil) {
		return fmt.Errorf("consumer: GPU %d (%s): needs a model and at least one slot, has %d", index, l.Name, l.Slots)
	}
	return nil
}
