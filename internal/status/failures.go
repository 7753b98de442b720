package status

import (
	"iter"

	"gleaner/internal/failures"
	"gleaner/internal/pipeline"
)

// mostLetters is how many dead letters are read to say why generations failed: each may have
// hundreds of kilobytes.
const mostLetters = 1000

// failed groups the failures in the first dead letters of a load of a run.
func failed(letters iter.Seq2[pipeline.StoredDeadLetter, error], run pipeline.Run) ([]failures.Group, error) {
	var groups failures.Groups
	read := 0
	for letter, err := range letters {
		if err != nil && pipeline.ClassOf(err) != pipeline.BadItem { // else it concerns this letter alone
			return nil, err
		}
		if err != nil || !letter.IsOf(run) {
			continue
		}
		groups.Add(letter.DeadLetter)
		if read++; read == mostLetters {
			break
		}
	}
	return groups.List(), nil
}
