package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"path/filepath"

	"gleaner/internal/dataset"
)

// tokenBytes turns the bytes of an answer into tokens. Tokenizers make more of text that is full
// of numbers, one for about 2.5 bytes; with fewer tokens answers are shorter and each hop between
// the programs weighs more.
const tokenBytes = 4

// The lengths of GSM8K's own solutions (train, 7,473 rows) in bytes: their logarithms have this
// mean and standard deviation, and none is shorter or longer than these.
const (
	gsm8kAnswers  = 7473
	gsm8kMean     = 5.5452 // 256 bytes
	gsm8kSigma    = 0.4866
	gsm8kShortest = 50
	gsm8kLongest  = 1228
)

// lengths returns the answers' lengths in tokens, at most this many (0: all), and where they come
// from: a file, or without one the built-in ones.
func lengths(path string, most int) ([]int, string, error) {
	if path == "" {
		return builtinLengths(cmp.Or(most, gsm8kAnswers)), "log-normal, fitted to the solutions of GSM8K train", nil
	}
	tokens, err := readLengths(path)
	if err != nil {
		return nil, "", err
	}
	if most > 0 {
		tokens = tokens[:min(most, len(tokens))]
	}
	return tokens, filepath.Base(path) + ", column answer", nil
}

// mean returns the mean length.
func mean(tokens []int) float64 {
	sum := 0
	for _, t := range tokens {
		sum += t
	}
	return float64(sum) / float64(len(tokens))
}

// builtinLengths returns lengths in tokens distributed as GSM8K's, the same ones each time.
func builtinLengths(count int) []int {
	r := rand.New(rand.NewPCG(8, 1319))
	tokens := make([]int, count)
	for i := range tokens {
		bytes := math.Exp(gsm8kMean + gsm8kSigma*r.NormFloat64())
		tokens[i] = tokensOf(int(min(max(bytes, gsm8kShortest), gsm8kLongest)))
	}
	return tokens
}

func tokensOf(bytes int) int { return max(1, (bytes+tokenBytes/2)/tokenBytes) }

// readLengths returns the lengths in tokens of a file's column answer.
func readLengths(path string) (tokens []int, err error) {
	r, err := dataset.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	for {
		line, err := r.Next()
		if errors.Is(err, io.EOF) && len(tokens) == 0 {
			return nil, fmt.Errorf("%s has no rows", path)
		}
		if errors.Is(err, io.EOF) {
			return tokens, nil
		}
		if err != nil {
			return nil, err
		}
		var row struct {
			Answer string `json:"answer"`
		}
		if err := json.Unmarshal(line, &row); err != nil || row.Answer == "" {
			return nil, fmt.Errorf("%s, line %d: there is no text in the column answer", path, r.Line())
		}
		tokens = append(tokens, tokensOf(len(row.Answer)))
	}
}
