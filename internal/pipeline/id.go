package pipeline

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// ItemID returns the id of the item with this number in its run. Ids sort as strings in dataset
// order.
func ItemID(run string, item int) string { return string(appendItemID(nil, run, item)) }

func appendItemID(dst []byte, run string, item int) []byte {
	return appendDigits(append(append(dst, run...), '/'), item, 9)
}

// appendDigits appends a number, with zeros in front of it up to a width.
func appendDigits(dst []byte, n, width int) []byte {
	for limit, i := 10, 1; i < width; limit, i = limit*10, i+1 {
		if n < limit {
			dst = append(dst, '0')
		}
	}
	return strconv.AppendInt(dst, int64(n), 10)
}

// GenerationID returns the id of one answer wanted for an item; it is also the id of its result.
func GenerationID(run string, item, sample int) string {
	return string(appendDigits(append(appendItemID(make([]byte, 0, len(run)+16), run, item), '.'), sample, 3))
}

// BatchID returns the id of the batch with this index in its run.
func BatchID(run string, index int) string { return fmt.Sprintf("%s/%07d", run, index) }

// IDRange returns the bounds low <= id < high of all ids of a run.
func IDRange(run string) (low, high string) { return run + "/", run + "0" }

// ParseItemID parses an id that ItemID returned.
func ParseItemID(id string) (run string, item int, err error) {
	run, digits, ok := strings.Cut(id, "/")
	if ok {
		item, ok = number(digits, 9)
	}
	if !ok || ValidateRunName(run) != nil {
		return "", 0, fmt.Errorf("%q is not an item's id", id)
	}
	return run, item, nil
}

// ParseGenerationID parses an id that GenerationID returned.
func ParseGenerationID(id string) (run string, item, sample int, err error) {
	head, digits, ok := strings.Cut(id, ".")
	if ok {
		sample, ok = number(digits, 3)
	}
	if ok {
		run, item, err = ParseItemID(head)
	}
	if !ok || err != nil {
		return "", 0, 0, fmt.Errorf("%q is not a generation's id", id)
	}
	return run, item, sample, nil
}

// ParseBatchID parses an id that BatchID returned.
func ParseBatchID(id string) (run string, index int, err error) {
	run, digits, ok := strings.Cut(id, "/")
	if ok {
		index, ok = number(digits, 7)
	}
	if !ok || ValidateRunName(run) != nil {
		return "", 0, fmt.Errorf("%q is not a batch's id", id)
	}
	return run, index, nil
}

func number(digits string, width int) (int, bool) {
	if len(digits) != width || strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(digits)
	return n, err == nil
}

// Seed returns the seed of a generation: a hash of the run's seed and the generation's id, so
// that samples of one item differ and the same run asks for the same answers again. It has 31
// bits, which every model server accepts.
func Seed(runSeed int, generationID string) int {
	sum := sha256.Sum256(append(append(strconv.AppendInt(make([]byte, 0, 96), int64(runSeed), 10), ' '), generationID...))
	return int(binary.BigEndian.Uint32(sum[:4]) & 0x7fffffff)
}
