package local

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"

	"gleaner/internal/pipeline"
)

// simulatedName begins the derived name of a simulated run.
const simulatedName = "sim-"

var notInName = regexp.MustCompile(`[^a-z0-9]+`)

// RunName derives the name of a run from its spec, so that no one has to invent one: the dataset's
// name and a part of the spec's digest. Another spec gets another name, and that of a simulated run
// says that it is one.
func RunName(spec pipeline.Spec) string {
	base, _, _ := strings.Cut(strings.ToLower(spec.Dataset.Name), ".")
	base = strings.Trim(notInName.ReplaceAllString(base, "-"), "-")
	spec.Dataset = pipeline.DatasetID{Digest: spec.Dataset.Digest, Skipped: spec.Dataset.Skipped} // what decides the answers
	if spec.Options.Think == pipeline.ThinkAuto {                                                 // earlier versions said nothing of it
		spec.Options.Think = ""
	}
	encoded, err := pipeline.Encode(spec)
	if err != nil { // a spec holds nothing that JSON cannot
		panic(err)
	}
	sum := sha256.Sum256(encoded)
	name := strings.Trim(base[:min(len(base), 40)]+"-"+hex.EncodeToString(sum[:4]), "-")
	if spec.Simulated {
		return simulatedName + name
	}
	return name
}

func orDefault(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}
