package pipeline

import (
	"slices"
	"time"
)

// A Presence is what a consumer, the process in a notebook, reports about itself.
type Presence struct {
	ID            string      `json:"id"` // a ULID, new with each start
	Run           string      `json:"run"`
	Host          string      `json:"host"`
	Version       string      `json:"version"`             // of the program
	ServerVersion string      `json:"server_version"`      // of the model servers
	Tokens        bool        `json:"tokens,omitempty"`    // it brings tokens back; earlier versions do not
	Simulated     bool        `json:"simulated,omitempty"` // its servers only pretend to have a model
	Model         string      `json:"model"`
	Digest        string      `json:"digest"` // of the model
	GPUs          []GPUStatus `json:"gpus"`
	Started       time.Time   `json:"started"`
	Seen          time.Time   `json:"seen"`
	Deadline      time.Time   `json:"deadline,omitzero"` // when it will end by itself
}

// Left reports whether the consumer has ended: its last report stays for a while.
func (p Presence) Left() bool {
	return len(p.GPUs) > 0 && !slices.ContainsFunc(p.GPUs, func(g GPUStatus) bool { return g.State != GPUStopped })
}

// A LaneID names one GPU of one consumer.
type LaneID struct {
	Consumer string `json:"consumer"` // its id
	GPU      string `json:"gpu"`      // its name
}

// An EngineName names a kind of model server.
type EngineName string

// Ollama is the engine that package ollama speaks to.
const Ollama EngineName = "ollama"

// A GPUState is what a GPU is doing.
type GPUState string

// The states of a GPU. Only one that is serving takes work; a probing one takes a single batch.
const (
	GPUWaiting    GPUState = "waiting for the model" // which the server of another GPU downloads
	GPUStarting   GPUState = "starting"
	GPUPulling    GPUState = "pulling"
	GPULoading    GPUState = "loading"
	GPUVerifying  GPUState = "verifying"
	GPUServing    GPUState = "serving"
	GPUHeld       GPUState = "held"    // takes no work; the detail says why
	GPUProbing    GPUState = "probing" // held, and trying one batch
	GPUDraining   GPUState = "draining"
	GPURestarting GPUState = "restarting"
	GPUGivenUp    GPUState = "given up"
	GPUStopped    GPUState = "stopped"
)

// Preparing reports whether a GPU's server is on its way to serving for the first time.
func (s GPUState) Preparing() bool {
	switch s {
	case GPUWaiting, GPUStarting, GPUPulling, GPULoading, GPUVerifying:
		return true
	}
	return false
}

// A GPUStatus is what a consumer reports about one of its GPUs, which has a model server of its
// own.
type GPUStatus struct {
	Name            string   `json:"name"`
	State           GPUState `json:"state"`
	Detail          string   `json:"detail,omitempty"` // why it is held or restarting, or how far a pull is
	Slots           int      `json:"slots"`
	Busy            int      `json:"busy"` // slots that are generating
	Generations     int      `json:"generations"`
	OutputTokens    int      `json:"output_tokens"`
	TokensPerSecond float64  `json:"tokens_per_second"` // over the last minute

	Engine  EngineName `json:"engine,omitempty"`
	Digest  string     `json:"digest,omitempty"`  // of the model that is loaded
	Context int        `json:"context,omitempty"` // tokens of prompt and answer together; 0: not known
	// Proven is the number of outcomes that the GPU had when an answer began that was stored, or a
	// canary that it passed; the newest one counts. A verdict whose Outcome is at most that was
	// given by a GPU that works.
	Proven int `json:"proven,omitempty"`
	// Doubted are the newest rows of verdicts, at most MaxDoubtedNamed, that were so long that the
	// GPU may have been broken during them, also if it has shown since that it works.
	Doubted  []OutcomeRange `json:"doubted,omitempty"`
	Thoughts int            `json:"thoughts,omitempty"` // answers from which thinking was taken off

	// Batches that this GPU handed back with a delay that is not over.
	Resting        int     `json:"resting,omitempty"`
	RestSeconds    float64 `json:"rest_seconds,omitempty"` // until the first of them is due
	RestingBecause string  `json:"resting_because,omitempty"`
	RestingBatches []int   `json:"resting_batches,omitempty"` // the first of them, at most MaxRestingNamed

	// Batches that it has had for longer than their answers may take, the oldest first, at most
	// MaxOverdueNamed. It says that it works on them, so no other GPU gets them.
	Overdue []OverdueBatch `json:"overdue,omitempty"`
}

// An OutcomeRange is a row of outcomes of a GPU, from the first to the last one.
type OutcomeRange struct {
	First int `json:"first"`
	Last  int `json:"last"`
}

// MaxDoubtedNamed is how many rows of verdicts a GPU names.
const MaxDoubtedNamed = 16

// An OverdueBatch is in the hands of a GPU for longer than its answers may take.
type OverdueBatch struct {
	Batch   int     `json:"batch"`
	Seconds float64 `json:"seconds"` // since the GPU took it
}

// A HeldBatch is an overdue batch with its holder.
type HeldBatch struct {
	OverdueBatch
	LaneID
	Host string `json:"host"`
}

// Overdue returns what consumers have had for too long of a run.
func Overdue(run string, consumers []Presence) []HeldBatch {
	var held []HeldBatch
	for _, c := range consumers {
		if c.Run != run {
			continue
		}
		for _, g := range c.GPUs {
			for _, b := range g.Overdue {
				held = append(held, HeldBatch{b, LaneID{c.ID, g.Name}, c.Host})
			}
		}
	}
	return held
}

// MaxOverdueNamed is how many overdue batches a GPU names.
const MaxOverdueNamed = 32

// Describe returns the state and its detail as one text for users.
func (g GPUStatus) Describe() string {
	if g.Detail == "" {
		return string(g.State)
	}
	return string(g.State) + ": " + g.Detail
}

// A ModelInfo is what a server reports about a model and itself.
type ModelInfo struct {
	Name          string // as the server lists it
	Engine        EngineName
	Simulated     bool   // the server only pretends to have a model
	Template      string // a hash of the model's template and parameters; empty: not known
	Digest        string // of the model; empty if the server has none
	ServerVersion string
	Note          string // what is odd about the server, in words; empty: nothing
	Thinks        bool   // the model can think; says nothing if SaysThinks is false
	SaysThinks    bool   // the server says what its models can do
	Context       int    // tokens of prompt and answer together; 0: not known
	Trained       int    // the largest context that the model can have; 0: not known
	SizeBytes     int64  // of the model with its context, once it is loaded; 0: not known
	OnGPUBytes    int64  // of them, those that are in the GPU's memory; says nothing if SizeBytes is 0
}

const (
	maxShown     = 1000 // consumers
	maxShownGPUs = 64   // of one consumer
)

// Shown returns the reports that are shown, counted and stored, and how many consumers are left
// out. A consumer's key suffices to report consumers without end, so there are bounds.
func Shown(present []Presence) (shown []Presence, more int) {
	if len(present) > maxShown {
		present, more = present[:maxShown], len(present)-maxShown
	}
	shown = slices.Clone(present)
	for i, p := range shown {
		shown[i].GPUs = p.GPUs[:min(len(p.GPUs), maxShownGPUs)]
	}
	return shown, more
}
