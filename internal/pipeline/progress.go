package pipeline

import "time"

// Progress is how far a run is, as the store knows it.
type Progress struct {
	Batches      map[BatchState]int // batches by state; a state with none may be absent
	Generations  int                // of all batches
	Stored       int                // generations with a stored result
	Failed       int                // generations under a dead letter of the current round, in batches that are dead
	Dropped      int                // generations without a result in batches that were dropped
	Refused      int                // batches of which an answer was refused, because it was of another digest or came without its token
	PromptTokens int                // of all stored results
	OutputTokens int
	// ThinkingTokens is about how many of the output tokens were thinking; 0 for what consumers of an
	// earlier version answered.
	ThinkingTokens int
	FirstDone      time.Time // when the first batch was done; zero if none
	LastDone       time.Time // when the last batch so far was done; zero if none

	// The batches that were done since the time that was asked for, from which rates are computed.
	Since             time.Time // that time if the caller filled it in, else zero
	RecentGenerations int
	RecentTokens      int // output tokens
}

// Written counts the results of one write.
type Written struct {
	New       int // results that were not there before
	Duplicate int // results of generations that had one already
}

// A StreamDepth is how much of a run is on the stream.
type StreamDepth struct {
	Waiting int `json:"waiting"` // batches on the queue that no worker holds
	Held    int `json:"held"`    // batches that workers hold
	Results int `json:"results"` // messages with results that are not stored yet
	// Untaken is for how long no sink has asked for results; 0: one does, or it is not known.
	Untaken time.Duration `json:"-"`
	// Full says which stream has no room, and how much it holds; empty: all have some, or none was
	// asked.
	Full string `json:"full,omitempty"`
}

// Complete reports whether every generation is stored, dead or dropped.
func (p Progress) Complete() bool {
	return p.Generations > 0 && p.Stored+p.Failed+p.Dropped >= p.Generations
}

// A RunInfo is a run as the stream knows it.
type RunInfo struct {
	Run   string
	Model string // what a consumer must have ready
	UID   string
	// Pins are the digests that are required, by engine, see Run.Pins.
	Pins      map[EngineName]string
	Simulated bool
	Waiting   int    // batches that no worker holds
	Held      int    // batches delivered and not acked
	HandedOut uint64 // sequence of the last message that was delivered for the first time
	Settled   uint64 // sequence up to which all are acknowledged: a message that is there all the same is handed out to no one
	// Quiet is how long ago the queue last handed out a batch, by its own clock; 0: never, or not
	// known.
	Quiet  time.Duration
	Paused bool
	// PausedAs is the beginning of the store's pause for which the queue is paused, or was a moment
	// ago; zero: an earlier version has paused it, which wrote nothing into the store.
	PausedAs time.Time
	// Complete is true if CompleteRun has declared every generation stored, dead or dropped for
	// good, and nothing is on the queue.
	Complete bool
	Lease    time.Duration

	Generations   int // of the run; 0: not known
	LongestPrompt int // in bytes, see Run.LongestPrompt
	// What the run asks of a model and of its server; nothing from an earlier version.
	NumCtx int
	Think  Think
	// What the process that follows the run writes down for the consumers and for people.
	Lanes        int // GPUs that serve the run
	AwaitOpinion int // generations under dead letters that get a second opinion
}
