//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"

	"gleaner/internal/ollamasim"
	"gleaner/internal/pipeline"
)

// A row is an item of the run and what has to become of it.
type row struct {
	question string
	class    pipeline.Class // of the dead letter; empty: it has to be stored
}

// rowPrefix is how all prompts of rows begin, and no other prompt of the consumers.
const rowPrefix = "What is the sum of "

// A special is a word that makes the prompt of a row special.
type special struct {
	word   string
	class  pipeline.Class  // of the dead letter that has to become of the row; empty: it has to be stored
	fault  ollamasim.Fault // happens to it on every server
	tokens int             // that it has besides
	most   int             // of such rows
}

func specials() []special {
	return []special{
		{"poisonous", pipeline.Poison, ollamasim.Fault{Kind: ollamasim.Crash, After: 5}, 0, 3},
		{"overlong", pipeline.BadItem, ollamasim.Fault{}, contextLength + 100, 3},
		{"lengthy", "", ollamasim.Fault{}, smallContext + 200, 3}, // too long for a server with a small context only
		{"neverending", pipeline.Truncated, ollamasim.Fault{}, 0, 3},
		{"endless", pipeline.Truncated, ollamasim.Fault{Kind: ollamasim.Endless}, 0, 3},
		{"speechless", pipeline.Degenerate, ollamasim.Fault{Kind: ollamasim.Empty}, 0, 3},
		{"stammering", pipeline.Degenerate, ollamasim.Fault{Kind: ollamasim.Loop, After: 5}, 0, 3},
		{"hanging", pipeline.Unanswered, ollamasim.Fault{Kind: ollamasim.Hang}, 0, 1},
		{"failing", pipeline.Unanswered, ollamasim.Fault{Kind: ollamasim.Fail}, 0, 3},
		{"halved", pipeline.Unanswered, ollamasim.Fault{Kind: ollamasim.Cut, After: 3}, 0, 3},
	}
}

// specialOf returns what is special about a prompt.
func specialOf(prompt string) (special, bool) {
	for _, s := range specials() {
		if strings.Contains(prompt, s.word) {
			return s, true
		}
	}
	return special{}, false
}

// makeRows makes the items of a seed: sums, and a few that are special.
func makeRows(seed int64, n int, special []special) []row {
	r := rand.New(rand.NewPCG(uint64(seed), 1))
	rows := make([]row, n)
	for i := range rows {
		rows[i].question = fmt.Sprintf(rowPrefix+"%d and %d?", i, r.IntN(1000))
	}
	taken := map[int]bool{}
	for _, s := range special {
		for range 1 + r.IntN(s.most) {
			i := r.IntN(n)
			if taken[i] {
				continue
			}
			taken[i] = true
			rows[i].class = s.class
			rows[i].question += " This is " + s.word + "." + strings.Repeat(" a", s.tokens)
		}
	}
	return rows
}

// answerable returns how many of the rows have to be stored.
func answerable(rows []row) (n int) {
	for _, r := range rows {
		if r.class == "" {
			n++
		}
	}
	return n
}

func writeRows(path string, rows []row) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	for i, r := range rows {
		line, err := json.Marshal(map[string]any{"id": i, "question": r.question})
		if err == nil {
			_, err = w.Write(append(line, '\n'))
		}
		if err != nil {
			return fmt.Errorf("row %d: %w", i, err)
		}
	}
	return errors.Join(w.Flush(), f.Close())
}
