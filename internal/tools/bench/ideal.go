package main

import "slices"

// oneByOne returns the time, in tokens of one slot, until the last of these answers is complete if
// each slot gets the next one at the moment it is free. No program can keep this many slots busier
// with answers in this order.
func oneByOne(tokens []int, slots int) int {
	return makespan(tokens, slots)
}

// staticBatches returns the same for a script that sends each GPU one prompt for each slot and
// waits for the longest answer before it sends the next prompts.
func staticBatches(tokens []int, gpus, slots int) int {
	var longest []int
	for batch := range slices.Chunk(tokens, slots) {
		longest = append(longest, slices.Max(batch))
	}
	return makespan(longest, gpus)
}

// makespan gives each piece of work, in order, to the worker that is free first and returns when
// the last one is done.
func makespan(work []int, workers int) int {
	free := make([]int, workers)
	for _, w := range work {
		first := 0
		for i := range free {
			if free[i] < free[first] {
				first = i
			}
		}
		free[first] += w
	}
	return slices.Max(free)
}

// use returns the share of their time in which slots are busy that make these tokens together.
// The time is measured in tokens of one slot.
func use(tokens []int, slots int, time float64) float64 {
	sum := 0
	for _, t := range tokens {
		sum += t
	}
	return float64(sum) / (float64(slots) * time)
}
