package local

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"

	"gleaner/internal/pipeline"
)

var notInName = regexp.MustCompile(`[^a-z0-9]+`)

// runName returns a name that is the same for the same spec and another one for another spec, so
// that nobody has to invent one: the dataset's name and a part of the spec's digest.
func runName(spec pipeline.Spec) string {
	base, _, _ := strings.Cut(strings.ToLower(spec.Dataset.Name), ".")
	base = strings.Trim(notInName.ReplaceAllString(base, "-"), "-")
	spec.Dataset.Name = ""
	encoded, err := pipeline.Encode(spec)
	if err != nil { // a spec holds nothing that JSON cannot
		panic(err)
	}
	sum := sha256.Sum256(encoded)
	return strings.Trim(base[:min(len(base), 40)]+"-"+hex.EncodeToString(sum[:4]), "-")
}

func orDefault(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}
