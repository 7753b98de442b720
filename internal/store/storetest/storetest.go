// Package storetest holds the tests that every store passes, and a MongoDB server for tests.
//
// The table in storetest.go lists the tests. Each of the files beside it holds the tests of one
// topic. They share nothing but the fixture.
package storetest

import (
	"testing"

	"gleaner/internal/store"
)

// Run tests the store that open returns. It must be empty, and open closes it when the test ends.
func Run(t *testing.T, open func(testing.TB) store.Store) {
	s := &suite{store: open(t)}
	for _, test := range []struct {
		name string
		run  func(*testing.T, *suite)
	}{
		{"whether a store can be written is seen without writing", mayWrite},
		{"a store says what it is and what it takes", saysAbout},
		{"a store gets one id at its first write", identity}, // it needs the store to be empty
		{"a run is stored once and comes back as it was", createdOnce},
		{"the first key of a run stays, and an earlier run has none", keyOfARun},
		{"a run that is not there is ErrNoRun", unknownRun},
		{"a run is created by one of many at once", createdAtOnce},
		{"a run loaded with another spec keeps its first", secondSpec},
		{"runs are listed by name", listed},
		{"a load that stopped half-way goes on", loadGoesOn},
		{"a load may be repeated and done twice at once", loadTwice},
		{"sealing opens a run that is loading and no other", sealing},
		{"a run that is cancelled stays so", cancelled},
		{"items come back as they were", itemsComeBack},
		{"batches of a state come in order and in pages", pagedBatches},
		{"batches are found by index", batchesAt},
		{"only planned batches become queued", markQueued},
		{"requeue needs the state and the round", requeue},
		{"drop needs a dead or queued batch and its round", drop},
		{"refusing marks a planned or queued batch of the round", refuse},
		{"a pin changes from the value that was seen", pin},
		{"a pause has a beginning, a cause and an end", pause},
		{"failures settle a batch", failures},
		{"a failure of another round changes nothing", otherRound},
		{"the first of two answers stays", firstAnswerStays},
		{"one call may hold a generation twice", twiceInOneCall},
		{"results settle a batch", resultsSettle},
		{"a late result makes a dead batch done", lateResult},
		{"a planned batch takes results and failures", plannedBatch},
		{"any text comes back as it was", anyText},
		{"results of a run that is gone are not stored", strays},
		{"many sinks at once store each generation once", manySinks},
		{"many changes of one batch at once are all kept", manyChanges},
		{"one of many at once takes a batch", oneTakes},
		{"progress counts generations and tokens once", progress},
		{"progress of a run that is not there is zero", noProgress},
		{"answers come in dataset order with holes", answersInOrder},
		{"answers of more rows than a page", manyAnswers},
		{"answers stop at the run's items and where the reader stops", answersStop},
		{"answers of a run that is loading are those of its items", answersWhileLoading},
		{"samples are stored answers", samples},
		{"the answers of one item are all of its generations", itemAnswers},
		{"answers are counted by digest", digests},
		{"answers are measured", measures},
		{"consumers are kept by their id", consumers},
		{"deleting a run leaves others alone", deleteOne},
		{"deleting can be interrupted and repeated", deleteInterrupted},
		{"a run that is being deleted takes nothing", deletingTakesNothing},
		{"a context that ended is returned as it is", endedContext},
		{"a store does what a simple model does", model},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, s) })
	}
}
