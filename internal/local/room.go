package local

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/dustin/go-humanize"

	"gleaner/internal/disk"
	"gleaner/internal/producer"
	"gleaner/internal/stream"
)

const (
	mostQueueBytes = 1 << 30
	// answerBytes is about what an answer takes on its way to the store.
	answerBytes = 8 << 10
	// copies is how many messages a row is in: its batch, and what became of that.
	copies = 2
)

// queueBytes returns how much room the streams get on the disk of a folder: what the dataset
// needs, and at most two thirds of what is free, since the answers are stored there, too. A stream
// that is full only makes its writers wait. Chosen, if it is not 0, is what a person wants.
func queueBytes(dir string, chosen int64, dataset producer.Preflight) (int64, error) {
	wanted := chosen
	if chosen == 0 {
		generations := int64(dataset.Run.Generations)
		wanted = copies*int64(dataset.RowBytes)*int64(max(1, dataset.Run.Spec.Samples)) + answerBytes*generations
		wanted = min(max(wanted, stream.LeastBytes), mostQueueBytes)
	}
	if _, err := os.Stat(filepath.Join(dir, "jetstream")); !errors.Is(err, os.ErrNotExist) {
		return wanted, nil // the streams are there, with what they hold
	}
	free, err := disk.Free(filepath.Dir(dir))
	if err != nil {
		return 0, err
	}
	need := stream.LeastBytes + stream.LeastBytes/2
	if chosen > 0 {
		need = chosen
	}
	if free < need {
		return 0, fmt.Errorf("the folder %s has %s free, and the queue and the answers need at least %s there: make room, choose another folder with --data, or say with --max-bytes (GLEANER_MAX_BYTES) how much the queue may take, at least %s",
			filepath.Dir(dir), size(free), size(need), size(stream.LeastBytes))
	}
	if chosen > 0 {
		return chosen, nil
	}
	return min(wanted, free/3*2), nil
}

func size(bytes int64) string { return humanize.IBytes(uint64(max(0, bytes))) }
