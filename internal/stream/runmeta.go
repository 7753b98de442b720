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

	metaPause    = "pause"    // when the store's pause began for which the durable is paused
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
	if run.Pause != nil {
		want.Metadata[metaPause] = pauseMark(run)
	}
	if run.Paused() {
		until := time.Now().Add(pauseLength)
		want.PauseUntil = &until
	}
	maps.Copy(want.Metadata, more)
	return want
}

// A run is paused in the store, and its durable does it. The durable says for which of the store's
// pauses it is paused, so that a comparison of the two shows which way a difference goes: the store
// is right about each pause that it knows, and a pause of which the durable says nothing is that of
// an earlier version, which wrote only there.

// pauseLength is how long a pause lasts if the run is not resumed: the server wants a time.
const pauseLength = 10 * 365 * 24 * time.Hour

// resumeIn is how far ahead a pause ends that is lifted: far enough for a slow connection.
const resumeIn = time.Second

// pauseMark is how the durable of a run names the store's last pause of it.
func pauseMark(run pipeline.Run) string { return run.PausedAs().UTC().Format(time.RFC3339Nano) }

// runInfo reads what a durable says about its run.
func runInfo(info *jetstream.ConsumerInfo) pipeline.RunInfo {
	meta := info.Config.Metadata
	r := pipeline.RunInfo{
		Run: info.Name, UID: meta[metaUID], Model: meta[metaModel], Simulated: meta[metaSimulated] != "",
		Waiting: int(info.NumPending), Held: info.NumAckPending, HandedOut: info.Delivered.Stream, Settled: info.AckFloor.Stream, Lease: info.Config.AckWait,
	}
	r.Paused = info.Paused && info.PauseRemaining > resumeIn // else it is resumed at this moment
	if last := info.Delivered.Last; last != nil && !info.TimeStamp.IsZero() {
		r.Quiet = max(info.TimeStamp.Sub(*last), time.Nanosecond)
	}
	// What is missing or cannot be read is not known.
	r.PausedAs, _ = time.Parse(time.RFC3339Nano, meta[metaPause])
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
