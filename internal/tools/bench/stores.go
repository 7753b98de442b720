package main

import (
	"path/filepath"
	"strings"
)

// upsertsAtOnce is how many results are written in one call, as by a sink that is busy.
const upsertsAtOnce = 1000

const notMeasured = "not measured: no MONGODB_URI"

// storeNames are the stores that are measured.
func storeNames() []string { return []string{"sqlite", "mongodb"} }

// storeURI returns where a store is, with its files in dir if it has any, or "" if there is none
// to be measured. MongoDB's own URI may be empty.
func storeURI(name, dir, mongoDB string) string {
	switch {
	case name == "sqlite":
		return "sqlite:" + filepath.Join(dir, "gleaner.db")
	case strings.HasPrefix(mongoDB, "mongodb"):
		return mongoDB
	}
	return ""
}
