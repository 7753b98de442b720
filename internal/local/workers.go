package local

import (
	"context"
	"os"
	"time"

	"gleaner/internal/cli"
	"gleaner/internal/consumer"
	"gleaner/internal/pipeline"
	"gleaner/internal/status"
	"gleaner/internal/supervise"
)

const (
	maxKept  = 20 * time.Second // of the time until the deadline, for storing and writing the dataset
	keptPart = 20               // the part of that time, if that is less
)

// workUntil returns when the workers have to have ended, so that what they made is in the dataset
// by the deadline. Without a deadline it is never.
func (m *machine) workUntil(now time.Time) time.Time {
	if m.cfg.Deadline.IsZero() {
		return time.Time{}
	}
	return m.cfg.Deadline.Add(-min(max(m.cfg.Deadline.Sub(now)/keptPart, 0), maxKept))
}

// left returns how many generations have no outcome. A run without a deadline has none.
func (m *machine) left(s status.Snapshot) int {
	if m.cfg.Deadline.IsZero() {
		return 0
	}
	return max(0, s.Generations-s.Stored-s.Failed-s.Dropped)
}

// consumerConfig says how the only consumer, which has this id, works.
func (m *machine) consumerConfig(id string, way *wayToStore) consumer.Config {
	host, _ := os.Hostname() // a machine without a name will do
	return consumer.Config{
		Identity: pipeline.Presence{ID: id, Run: m.run.Name, Host: host, Version: cli.Version(), Model: m.run.Spec.Model, Simulated: m.run.Spec.Simulated},
		Lease:    lease, Grace: 10 * time.Second, Log: m.cfg.Log,
		FirstToken: m.cfg.FirstToken, Stall: m.cfg.Stall, AnswerLimit: m.cfg.AnswerLimit,
		Known: pipeline.RunInfo{
			Run: m.run.Name, UID: m.run.UID, Model: m.run.Spec.Model, Pins: m.run.Pins, Simulated: m.run.Spec.Simulated,
			Generations: m.run.Generations, LongestPrompt: m.run.LongestPrompt, NumCtx: m.run.Spec.Options.NumCtx, Think: m.run.Spec.Options.Think,
		},
		Info:     func(ctx context.Context) (pipeline.RunInfo, error) { return m.conn.RunInfo(ctx, m.run.Name) },
		Lag:      way.lag,
		Deadline: m.workUntil(time.Now()), HealthChecks: supervise.HealthChecks{AllowCPU: m.cfg.AllowCPU},
		Stay: true, // until the run is at its end, which this process sees by itself
	}
}
