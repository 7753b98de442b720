package stream

import (
	"fmt"
	"strings"
	"time"

	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go/jetstream"
)

// streamConfigs returns the configurations of all streams, without sizes. A presence report is
// gone after three leases.
func streamConfigs(replicas int, lease time.Duration) []jetstream.StreamConfig {
	common := func(s jetstream.StreamConfig) jetstream.StreamConfig {
		s.Storage = jetstream.FileStorage
		s.Discard = jetstream.DiscardNew
		s.Replicas = replicas
		s.AllowDirect = true
		return s
	}
	presence := 3 * lease
	return []jetstream.StreamConfig{
		common(jetstream.StreamConfig{
			Name: WorkStream, Subjects: []string{"gleaner.work.>"}, Retention: jetstream.WorkQueuePolicy,
			MaxMsgsPerSubject: 1, DiscardNewPerSubject: true,
			Description: "batches that are to be generated",
		}),
		common(jetstream.StreamConfig{
			Name: ResultsStream, Subjects: []string{"gleaner.result.>"}, Retention: jetstream.WorkQueuePolicy,
			MaxMsgsPerSubject: -1,
			Description:       "answers on their way to the store",
		}),
		common(jetstream.StreamConfig{
			Name: DeadStream, Subjects: []string{"gleaner.dead.>"}, Retention: jetstream.LimitsPolicy,
			MaxMsgsPerSubject: 1, // the newest record of a batch replaces the older one
			Description:       "what could not be generated, and why",
		}),
		common(jetstream.StreamConfig{ // a key-value bucket, as clients for those expect it
			Name: bucketStream, Subjects: []string{"$KV." + Bucket + ".>"}, Retention: jetstream.LimitsPolicy,
			MaxMsgsPerSubject: 1, MaxAge: presence, Duplicates: min(presence, 2*time.Minute),
			AllowRollup: true, DenyDelete: true,
			Description: "the consumers that are present",
		}),
	}
}

// compatible refuses a stream with which the rules of the pipeline would not hold, and says in what
// it differs.
func compatible(is, want jetstream.StreamConfig) error {
	var differs []string
	for _, d := range []struct {
		what     string
		is, want any
	}{
		{"subjects", is.Subjects, want.Subjects},
		{"retention", is.Retention, want.Retention},
		{"storage", is.Storage, want.Storage},
		{"discard policy", is.Discard, want.Discard},
		{"messages per subject", max(-1, is.MaxMsgsPerSubject), want.MaxMsgsPerSubject},
		{"discard new per subject", is.DiscardNewPerSubject, want.DiscardNewPerSubject},
		{"ages messages out", is.MaxAge > 0, want.MaxAge > 0},
		{"direct reads", is.AllowDirect, want.AllowDirect},
		{"sealed", is.Sealed, false},
		{"mirrors or sources another stream", is.Mirror != nil || len(is.Sources) > 0, false},
	} {
		if fmt.Sprint(d.is) != fmt.Sprint(d.want) {
			differs = append(differs, fmt.Sprintf("%s: %v instead of %v", d.what, d.is, d.want))
		}
	}
	if differs == nil {
		return nil
	}
	return pipeline.Fail(pipeline.Fatal, "stream %s is there with another configuration (%s): change or delete it, or use another NATS account",
		want.Name, strings.Join(differs, "; "))
}
