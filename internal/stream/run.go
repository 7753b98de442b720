package stream

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Keys of a run's metadata, on its durable. An empty digest or context means that any will do.
const (
	metaRun     = "run"
	metaUID     = "uid"
	metaModel   = "model"
	metaDigest  = "digest"
	metaContext = "context" // tokens

	metaComplete = "complete" // "yes": every generation has its end for good
)

// EnsureRun creates the durable of a run, or brings its lease and metadata up to date. What it
// stands on may be gone, too: like Ensure it first creates what is missing of the streams. The
// run is not complete after that: whoever calls it is about to publish something.
func (c *Conn) EnsureRun(ctx context.Context, run pipeline.Run) error {
	return c.ensureRun(ctx, run, "")
}

// CompleteRun tells the consumers of a run that no work will come, until EnsureRun is called
// again. It is for who knows from the ledger that every generation has its end and that none is
// under a dead letter, which may have another round.
func (c *Conn) CompleteRun(ctx context.Context, run pipeline.Run) error {
	return c.ensureRun(ctx, run, "yes")
}

func (c *Conn) ensureRun(ctx context.Context, run pipeline.Run, complete string) error {
	if err := pipeline.ValidateRunName(run.Name); err != nil {
		return err
	}
	if err := c.Ensure(ctx); err != nil {
		return err
	}
	want := durableConfig(run.Name, c.lease)
	want.FilterSubject = workSubjects(run.Name)
	want.MaxRequestBatch = 1 // nobody can hoard
	want.Metadata = map[string]string{
		metaRun: run.Name, metaUID: run.UID, metaModel: run.Spec.Model, metaDigest: "", metaContext: "",
	}
	if complete != "" {
		want.Metadata[metaComplete] = complete
	}
	err := c.ensureDurable(ctx, WorkStream, want, pipeline.DefaultLease)
	if code(err) == codeConsumers {
		return c.explain(ctx, err, 0)
	}
	return err
}

// Depth counts what of a run is on the streams. Without a durable for the run it returns
// pipeline.ErrNoRun.
func (c *Conn) Depth(ctx context.Context, run string) (pipeline.StreamDepth, error) {
	info, err := c.RunInfo(ctx, run)
	if err != nil {
		return pipeline.StreamDepth{}, err
	}
	depth := pipeline.StreamDepth{Waiting: info.Waiting, Held: info.Held}
	err = c.api(ctx, func(ctx context.Context) error {
		s, err := c.js.Stream(ctx, ResultsStream)
		if err != nil || s.CachedInfo().State.Msgs == 0 {
			return err
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
	if err != nil && !isAbsent(err) { // a stream that is not there holds nothing
		return pipeline.StreamDepth{}, fmt.Errorf("count the results of run %s: %w", run, err)
	}
	return depth, nil
}

// RunInfo returns what the stream knows of a run, or pipeline.ErrNoRun.
func (c *Conn) RunInfo(ctx context.Context, run string) (pipeline.RunInfo, error) {
	var info *jetstream.ConsumerInfo
	err := pipeline.ValidateRunName(run)
	if err == nil {
		info, err = c.durableInfo(ctx, WorkStream, run)
	}
	switch {
	case isAbsent(err):
		return pipeline.RunInfo{}, fmt.Errorf("run %s is not on the stream: %w", run, pipeline.ErrNoRun)
	case err != nil:
		return pipeline.RunInfo{}, fmt.Errorf("look at run %s on the stream: %w", run, err)
	}
	return runInfo(info), nil
}

func runInfo(info *jetstream.ConsumerInfo) pipeline.RunInfo {
	meta := info.Config.Metadata
	r := pipeline.RunInfo{
		Run: info.Name, Model: meta[metaModel], Digest: meta[metaDigest],
		Waiting: int(info.NumPending), Held: info.NumAckPending, Paused: info.Paused, Lease: info.Config.AckWait,
	}
	_, _ = fmt.Sscan(meta[metaContext], &r.Context) // empty or unreadable: any
	// Who marked it may have looked before somebody else published something: the queue knows
	// better.
	r.Complete = meta[metaComplete] != "" && r.Waiting == 0 && r.Held == 0
	return r
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

// A durablesPage is a part of the list of durables.
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
	// In the order in which batches move, so that nothing slips past.
	_, err := c.purge(ctx, ResultsStream, resultSubjects(run))
	if err == nil {
		_, err = c.purge(ctx, DeadStream, deadSubjects(run))
	}
	return err
}

// PutPresence reports a consumer. The report is gone after three leases, unless it is repeated.
func (c *Conn) PutPresence(ctx context.Context, p pipeline.Presence) error {
	if !isToken(p.ID) {
		return fmt.Errorf("report consumer %.64q: its id cannot be part of a subject", p.ID)
	}
	data, err := pipeline.Encode(p)
	if err != nil {
		return fmt.Errorf("report consumer %s: %w", p.ID, err)
	}
	err = c.call(ctx, presenceSubject(p.ID), 5*time.Second, func(ctx context.Context) error {
		_, err := c.js.PublishMsg(ctx, &nats.Msg{Subject: presenceSubject(p.ID), Data: data})
		return err
	})
	if err != nil {
		return fmt.Errorf("report consumer %s: %w", p.ID, err)
	}
	return nil
}

// Consumers returns the consumers that reported themselves within three leases, by id. Reports
// that cannot be read are left out.
func (c *Conn) Consumers(ctx context.Context) ([]pipeline.Presence, error) {
	var present []pipeline.Presence
	err := c.api(ctx, func(ctx context.Context) error {
		present = nil
		bucket, err := c.js.KeyValue(ctx, Bucket)
		if err != nil {
			return err
		}
		watcher, err := bucket.WatchAll(ctx, jetstream.IgnoreDeletes())
		if err != nil {
			return err
		}
		defer watcher.Stop()
		for {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case entry := <-watcher.Updates():
				if entry == nil { // all that were there have come
					return nil
				}
				if p, ok := readPresence(entry.Key(), entry.Value()); ok {
					present = append(present, p)
				}
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list the consumers: %w", err)
	}
	slices.SortFunc(present, func(a, b pipeline.Presence) int { return cmp.Compare(a.ID, b.ID) })
	return present, nil
}

// readPresence reads what a consumer reported under a key, and whether it is a report.
func readPresence(key string, data []byte) (pipeline.Presence, bool) {
	var p pipeline.Presence
	err := json.Unmarshal(data, &p)
	return p, err == nil && p.ID == key
}
