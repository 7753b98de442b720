package pipeline_test

import (
	"fmt"
	"log"

	"gleaner/internal/pipeline"
)

// Ids are text that sorts in dataset order, so that a store reads a run from its beginning to its
// end without sorting.
func ExampleGenerationID() {
	fmt.Println(pipeline.ItemID("gsm8k", 41))
	fmt.Println(pipeline.GenerationID("gsm8k", 41, 2))
	fmt.Println(pipeline.BatchID("gsm8k", 5))

	run, item, sample, err := pipeline.ParseGenerationID("gsm8k/000000041.002")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(run, item, sample)
	// Output:
	// gsm8k/000000041
	// gsm8k/000000041.002
	// gsm8k/0000005
	// gsm8k 41 2
}

// A batch is dead when every generation is stored or failed in the current round, and done as soon
// as all of them are stored, even if some failed before.
func ExampleBatch_Settle() {
	batch := pipeline.Batch{Run: "gsm8k", Count: 3, State: pipeline.Queued, Round: 1, Done: []int{0}}
	fmt.Println(batch.Settle())

	batch.Failed = []int{1, 2}
	batch.State = batch.Settle()
	fmt.Println(batch.State)

	batch.Done = []int{0, 1, 2} // a second round brought the missing answers
	fmt.Println(batch.Settle())
	// Output:
	// queued
	// dead
	// done
}

// The class of a failure decides what happens next.
func ExampleClass_Rule() {
	for _, class := range []pipeline.Class{pipeline.Interrupted, pipeline.Truncated} {
		rule := class.Rule()
		fmt.Printf("%s: %s\n", class, rule.Means)
		fmt.Println("  goes into a dead letter:", rule.Outcome)
		fmt.Println("  what to do:", rule.Help)
	}
	// Output:
	// interrupted: a shutdown or the notebook's deadline
	//   goes into a dead letter: false
	//   what to do: nothing: the batch goes to another consumer
	// truncated: the answer was cut off at its length, also with twice the room
	//   goes into a dead letter: true
	//   what to do: give the answer more room
}
