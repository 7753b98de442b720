package stream

import (
	"fmt"
	"time"

	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go/jetstream"
)

// Keys of a run's metadata, on its durable. An empty digest or context means that any will do.
const (
	metaRun     = "run"
	metaUID     = "uid"
	metaModel   = "model"
	metaDigest  = "digest"
	metaContext = "context" // tokens

	metaComplete = "complete" // "yes": every generation is finished for good
)

// runDurable returns the durable of a run. Lease 0 keeps the lease of one that exists.
func runDurable(run pipeline.Run, lease time.Duration, complete string) jetstream.ConsumerConfig {
	want := durableConfig(run.Name, lease)
	want.FilterSubject = workSubjects(run.Name)
	want.MaxRequestBatch = 1 // a worker cannot hoard
	want.Metadata = map[string]string{
		metaRun: run.Name, metaUID: run.UID, metaModel: run.Spec.Model, metaDigest: "", metaContext: "",
	}
	if complete != "" {
		want.Metadata[metaComplete] = complete
	}
	return want
}

// runInfo reads what a durable says about its run.
func runInfo(info *jetstream.ConsumerInfo) pipeline.RunInfo {
	meta := info.Config.Metadata
	r := pipeline.RunInfo{
		Run: info.Name, Model: meta[metaModel], Digest: meta[metaDigest],
		Waiting: int(info.NumPending), Held: info.NumAckPending, Paused: info.Paused, Lease: info.Config.AckWait,
	}
	_, _ = fmt.Sscan(meta[metaContext], &r.Context) // empty or unreadable: any
	// The process that marked it may not have seen what another one published since: the queue
	// knows better.
	r.Complete = meta[metaComplete] != "" && r.Waiting == 0 && r.Held == 0
	return r
}
