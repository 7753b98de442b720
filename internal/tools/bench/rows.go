package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"

	"gleaner/internal/pipeline"
	"gleaner/internal/producer"
)

// Sizes of GSM8K's rows, on average.
const (
	questionBytes = 235
	answerBytes   = 288
)

// prose returns made-up prose of this length, which compresses as real prose does.
func prose(r *rand.Rand, bytes int) string {
	const consonants, vowels = "bcdfghklmnprstvw", "aeiou"
	var b strings.Builder
	for b.Len() < bytes {
		// The smaller of two numbers: a few words are frequent, as in real prose.
		word := min(r.IntN(800), r.IntN(800))
		for ; word > 0; word /= len(vowels) * 4 {
			b.WriteByte(consonants[word%len(consonants)])
			b.WriteByte(vowels[word%len(vowels)])
		}
		b.WriteByte(' ')
	}
	return b.String()[:bytes]
}

// row returns a row like one of GSM8K. Its question ends with the row's number.
func row(seq int) []byte {
	r := rand.New(rand.NewPCG(1, uint64(seq)))
	number := strconv.Itoa(seq)
	return fmt.Appendf(nil, `{"question":"%s#%s","answer":"%s"}`, prose(r, questionBytes-1-len(number)), number, prose(r, answerBytes))
}

// rowOf returns the number at the end of a prompt.
func rowOf(prompt string) (int, error) {
	return strconv.Atoi(prompt[strings.LastIndexByte(prompt, '#')+1:])
}

// rows reads made-up rows one after the other, up to a count.
type rows struct{ next, count int }

func (r *rows) Next() ([]byte, error) {
	if r.next == r.count {
		return nil, io.EOF
	}
	r.next++
	return row(r.next - 1), nil
}

func (r *rows) Position() (string, int) { return "made-up rows", r.next }
func (r *rows) Close() error            { return nil }

// rowsDataset returns a dataset with this number of rows that takes no file.
func rowsDataset(count int) producer.Dataset {
	return producer.Dataset{Name: "made-up rows", Open: func() (producer.Rows, error) { return &rows{count: count}, nil }}
}

// spec is what all benchmarks ask for.
func spec() pipeline.Spec {
	return pipeline.Spec{
		Model: "simulated/bench", Simulated: true, Field: "question", Samples: 1, Batch: pipeline.DefaultBatch,
		Options: pipeline.Options{NumPredict: pipeline.DefaultNumPredict},
	}
}
