//go:build unix

package main

import "fmt"

// mostProblems is how many are reported.
const mostProblems = 50

// findings is what was wrong at the end; empty if everything was as promised.
type findings struct {
	problems []string
}

func (f *findings) add(format string, args ...any) {
	if len(f.problems) < mostProblems {
		f.problems = append(f.problems, fmt.Sprintf(format, args...))
	}
}
