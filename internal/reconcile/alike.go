package reconcile

import (
	"fmt"
	"reflect"
	"strings"

	"gleaner/internal/failures"
	"gleaner/internal/pipeline"
)

// alike reports whether another round with these options asks for the same once more: the verdict
// is about the answer, which the same options and seeds make again.
func (o RedriveOptions) alike(letter Letter) bool {
	retry := letter.Class.Rule().Retry
	if retry != pipeline.RetryMoreRoom && retry != pipeline.RetryNewSeed {
		return false
	}
	if !reflect.DeepEqual(letter.Options, letter.Owner.Spec.Options.With(o.Options)) {
		return false
	}
	seed := letter.Owner.Spec.Seed
	if o.Seed != nil {
		seed = *o.Seed
	}
	for _, f := range letter.Failures {
		if f.Exceeds || f.Class != letter.Class || f.Seed != pipeline.Seed(seed, pipeline.GenerationID(letter.Run, f.Item, f.Sample)) {
			return false
		}
	}
	return true
}

// sayAlike says with what a letter was made that would end alike, and what helps.
func sayAlike(letter Letter) string {
	return fmt.Sprintf("%s failed with %s, and the same once more ends alike; %s", letter.Class, strings.Join(letter.Options.Flags(), ", "),
		failures.OfLetter(letter.DeadLetter, "--run", letter.Run, "--class", string(letter.Class)).Sentence())
}
