package pipeline

import "time"

// Progress is how far a run is, as the store knows it.
type Progress struct {
	Batches      map[BatchState]int // batches by state; a state with none may be absent
	Generations  int                // of all batches
	Stored       int                // generations with a stored result
	Failed       int                // generations under a dead letter of the current round, in batches that are dead
	Dropped      int                // generations without a result in batches that were dropped
	PromptTokens int                // of all stored results
	OutputTokens int
	FirstDone    time.Time // when the first batch was done; zero if none
	LastDone     time.Time // when the last batch so far was done; zero if none

	// Of the batches done since the time that was asked for: what a rate is computed from.
	RecentGenerations int
	RecentTokens      int // output tokens
}
