package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go/jetstream"
)

// Ensure creates the streams, their durables and the presence bucket, or checks those that exist.
// The replicas of existing streams stay as they are, and so do their sizes, unless Config.Enlarge
// asks for more: that is how a person makes room. Anything else that differs is an error that says
// what. Several processes may do it at once, and it may be repeated at any time.
func (c *Conn) Ensure(ctx context.Context) error { return c.provisioner.ensure(ctx) }

// ForgetSink has the server hand out again at once what it has handed to a sink that is gone, and
// not after that one's lease. It is for the only process of a server, before it calls Ensure.
func (c *Conn) ForgetSink(ctx context.Context) error {
	for stream, name := range map[string]string{ResultsStream: sinkDurable, DeadStream: mirrorDurable} {
		err := c.api(ctx, func(ctx context.Context) error { return c.js.DeleteConsumer(ctx, stream, name) })
		if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return fmt.Errorf("forget the sink of stream %s: %w", stream, err)
		}
	}
	return nil
}

// EnsureRun creates the durable of a run, or brings its lease and metadata up to date. The streams
// may be gone, too: like Ensure it first creates what is missing of them. The run is not complete
// after that, because the caller is about to publish something.
func (c *Conn) EnsureRun(ctx context.Context, run pipeline.Run) error {
	return c.provisioner.ensureRun(ctx, run, nil)
}

// KeepRun does what EnsureRun does, for a caller that does it again and again: it looks at the
// streams only if the connection was lost, or something was found to be missing, since they were
// seen. It returns what the queue says of the run.
func (c *Conn) KeepRun(ctx context.Context, run pipeline.Run) (pipeline.RunInfo, error) {
	return c.provisioner.keepRun(ctx, run)
}

// CompleteRun tells the consumers of a run that no more work will come, until EnsureRun is called
// again. The caller knows from the ledger that every generation is finished for good, and that none
// is under a dead letter, which may get another round.
func (c *Conn) CompleteRun(ctx context.Context, run pipeline.Run) error {
	return c.provisioner.ensureRun(ctx, run, map[string]string{metaComplete: "yes"})
}

// ReportRun writes down on the durable of a run what the process that follows the run has seen, for
// the consumers and for people: how many GPUs serve it, and how many generations under dead letters
// get a second opinion. EnsureRun keeps it, and it changes nothing else. Without a durable, or with
// that of another load of the run, there is nothing to report on.
func (c *Conn) ReportRun(ctx context.Context, run pipeline.Run, lanes, awaitOpinion int) error {
	if err := c.owner.allows(ctx); err != nil {
		return fmt.Errorf("report on run %s: %w", run.Name, err)
	}
	err := c.provisioner.durables.report(ctx, run, map[string]string{
		metaLanes: strconv.Itoa(lanes), metaAwaitOpinion: strconv.Itoa(awaitOpinion),
	})
	return wrapped("report on run "+run.Name, err)
}

// Depth counts the messages of a run on the streams. Without a durable for the run it returns
// pipeline.ErrNoRun.
func (c *Conn) Depth(ctx context.Context, run string) (pipeline.StreamDepth, error) {
	info, err := c.RunInfo(ctx, run)
	if err != nil {
		return pipeline.StreamDepth{}, err
	}
	depth := pipeline.StreamDepth{Waiting: info.Waiting, Held: info.Held}
	err = c.api(ctx, func(ctx context.Context) error {
		s, err := c.js.Stream(ctx, ResultsStream)
		if err != nil {
			return err
		}
		if s.CachedInfo().State.Msgs == 0 {
			return nil
		}
		state, err := s.Info(ctx, jetstream.WithSubjectFilter(resultSubjects(run)))
		if err != nil {
			return err
		}
		depth.Results = 0
		for _, n := range state.State.Subjects {
			depth.Results += int(n)
		}
		return nil
	})
	if err != nil && !isAbsent(err) { // a stream that does not exist holds nothing
		return pipeline.StreamDepth{}, fmt.Errorf("count the results of run %s: %w", run, err)
	}
	if depth.Results > 0 {
		depth.Untaken = c.untaken(ctx)
	}
	return depth, nil
}

// untaken returns for how long no sink has asked for results, or 0 if that is not known.
func (c *Conn) untaken(ctx context.Context) time.Duration {
	info, err := c.durableInfo(ctx, ResultsStream, sinkDurable)
	if err != nil || info.NumWaiting > 0 || info.TimeStamp.IsZero() {
		return 0
	}
	last := info.Created
	for _, at := range []*time.Time{info.Delivered.Last, info.AckFloor.Last} {
		if at != nil && at.After(last) {
			last = *at
		}
	}
	return max(0, info.TimeStamp.Sub(last))
}

// RunInfo returns what the stream knows of a run, or pipeline.ErrNoRun.
func (c *Conn) RunInfo(ctx context.Context, run string) (pipeline.RunInfo, error) {
	var info *jetstream.ConsumerInfo
	err := pipeline.ValidateRunName(run)
	if err == nil {
		info, err = c.durableInfo(ctx, WorkStream, run)
	}
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return pipeline.RunInfo{}, fmt.Errorf("run %s is not on the stream: %w: %w", run, pipeline.ErrNoRun, pipeline.ErrNoStreams)
	case isAbsent(err):
		return pipeline.RunInfo{}, fmt.Errorf("run %s is not on the stream: %w", run, pipeline.ErrNoRun)
	case err != nil:
		return pipeline.RunInfo{}, fmt.Errorf("look at run %s on the stream: %w", run, err)
	}
	if works, ok := c.works.Load(run); ok { // so that they need not ask
		works.(*durable).learn(info)
	}
	return runInfo(info), nil
}

// Runs returns all runs that have a durable, by name. It uses the list of durables alone, which a
// consumer's user may read.
func (c *Conn) Runs(ctx context.Context) ([]pipeline.RunInfo, error) {
	var runs []pipeline.RunInfo
	for {
		var page durablesPage
		err := c.request(ctx, "$JS.API.CONSUMER.LIST."+WorkStream, map[string]any{"offset": len(runs)}, &page)
		if isAbsent(err) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list the runs on the stream: %w", err)
		}
		for _, info := range page.Consumers {
			runs = append(runs, runInfo(info))
		}
		if len(page.Consumers) == 0 || len(runs) >= page.Total {
			break
		}
	}
	slices.SortFunc(runs, func(a, b pipeline.RunInfo) int { return cmp.Compare(a.Run, b.Run) })
	return runs, nil
}

// A durablesPage is one page of the list of durables.
type durablesPage struct {
	Total     int                       `json:"total"`
	Consumers []*jetstream.ConsumerInfo `json:"consumers"`
}

// RemoveRun deletes the durable of a run and all its messages on the streams. What is already
// gone is not an error. Workers that still hold a batch may publish results afterwards; the sink
// refuses those of a run that it does not know.
func (c *Conn) RemoveRun(ctx context.Context, run string) error {
	if _, err := c.CancelRun(ctx, run); err != nil {
		return err
	}
	// In the order in which batches move, so that none is missed on its way.
	_, err := c.purge(ctx, ResultsStream, resultSubjects(run))
	if err == nil {
		_, err = c.purge(ctx, DeadStream, deadSubjects(run))
	}
	return err
}
