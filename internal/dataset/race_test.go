//go:build race

package dataset

const raceEnabled = true // reading is ten times slower
