package main

import "slices"

// oneByOne returns how many tokens of time pass until the last of these answers is there if each
// slot is given the next one in the moment it is free: no program can keep that many slots busier
// with answers in this order.
func oneByOne(tokens []int, slots int) int {
	return dealt(tokens, slots)
}

// staticBatches returns the same for a script that sends each GPU as many prompts at once as it
// has slots and waits for the longest answer before it sends the next ones.
func staticBatches(tokens []int, gpus, slots int) int {
	var longest []int
	for batch := range slices.Chunk(tokens, slots) {
		longest = append(longest, slices.Max(batch))
	}
	return dealt(longest, gpus)
}

// dealt gives each piece of work, in order, to whoever is free first and returns when the last
// one is done.
func dealt(work []int, workers int) int {
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

// use returns how busy so many slots are that make these tokens in a time measured in tokens of
// one slot.
func use(tokens []int, slots int, time float64) float64 {
	sum := 0
	for _, t := range tokens {
		sum += t
	}
	return float64(sum) / (float64(slots) * time)
}
