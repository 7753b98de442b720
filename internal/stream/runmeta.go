package stream

import (
	"encoding/json"
	"maps"
	"strconv"
	"time"

	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go/jetstream"
)

// Keys of a run's metadata, on its durable.
const (
	metaRun           = "run"
	metaUID           = "uid"
	metaModel         = "model"
	metaPins          = "pins" // JSON: the digests by engine
	metaSimulated     = "simulated"
	metaGenerations   = "generations"
	metaLongestPrompt = "longest_prompt" // bytes
	metaNumCtx        = "num_ctx"        // tokens
	metaThink         = "think"

	metaComplete = "complete" // "yes": every generation is finished for good

	// What the process that follows the run writes down.
	metaLanes        = "lanes"
	metaAwaitOpinion = "await_opinion"
)

// reportKeys are the keys that only ReportRun changes.
var reportKeys = []string{metaLanes, metaAwaitOpinion}

// runDurable returns the durable of a run. Lease 0 keeps the lease of one that exists.
func runDurable(run pipeline.Run, lease time.Duration, more map[string]string) jetstream.ConsumerConfig {
	want := durableConfig(run.Name, lease)
	want.FilterSubject = workSubjects(run.Name)
	want.MaxRequestBatch = pipeline.PullPlaces // the server answers a larger pull with a refusal and nothing else
	want.Metadata = map[string]string{
		metaRun: run.Name, metaUID: run.UID, metaModel: run.Spec.Model, metaGenerations: strconv.Itoa(run.Generations),
	}
	if len(run.Pins) > 0 {
		pins, _ := json.Marshal(run.Pins) // strings
		want.Metadata[metaPins] = string(pins)
	}
	if run.Spec.Simulated {
		want.Metadata[metaSimulated] = "yes"
	}
	if run.LongestPrompt > 0 {
		want.Metadata[metaLongestPrompt] = strconv.Itoa(run.LongestPrompt)
	}
	if run.Spec.Options.NumCtx > 0 {
		want.Metadata[metaNumCtx] = strconv.Itoa(run.Spec.Options.NumCtx)
	}
	if run.Spec.Options.Think.IsAsked() {
		want.Metadata[metaThink] = string(run.Spec.Options.Think)
	}
	maps.Copy(want.Metadata, more)
	return want
}

// runInfo reads what a durable says about its run.
func runInfo(info *jetstream.ConsumerInfo) pipeline.RunInfo {
	meta := info.Config.Metadata
	r := pipeline.RunInfo{
		Run: info.Name, UID: meta[metaUID], Model: meta[metaModel], Simulated: meta[metaSimulated] != "",
		Waiting: int(info.NumPending), Held: info.NumAckPending, HandedOut: info.Delivered.Stream, Settled: info.AckFloor.Stream, Paused: info.Paused, Lease: info.Config.AckWait,
	}
	if last := info.Delivered.Last; last != nil && !info.TimeStamp.IsZero() {
		r.Quiet = max(info.TimeStamp.Sub(*last), time.Nanosecond)
	}
	// What is missing or cannot be read is not known.
	_ = json.Unmarshal([]byte(meta[metaPins]), &r.Pins)
	r.Generations, _ = strconv.Atoi(meta[metaGenerations])
	r.LongestPrompt, _ = strconv.Atoi(meta[metaLongestPrompt])
	r.NumCtx, _ = strconv.Atoi(meta[metaNumCtx])
	r.Think = pipeline.Think(meta[metaThink])
	r.Lanes, _ = strconv.Atoi(meta[metaLanes])
	r.AwaitOpinion, _ = strconv.Atoi(meta[metaAwaitOpinion])
	// The process that marked it may not have seen what another one published since: the queue
	// knows better.
	r.Complete = meta[metaComplete] != "" && r.Waiting == 0 && r.Held == 0
	return r
}
