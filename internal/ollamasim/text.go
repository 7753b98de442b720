package ollamasim

import (
	"hash/fnv"
	"math/rand/v2"
	"strconv"
	"strings"
	"unicode"
)

// A writer makes up the tokens of an answer: short sentences about the words and numbers of the
// prompt. The same prompt and seed give the same answer.
type writer struct {
	r       *rand.Rand
	words   []string
	numbers []int
	tokens  []string
}

// The sentences of an answer. A, B are words of the prompt, N, M numbers of it, S the sum of the
// two.

func openings() [3]string {
	return [...]string{
		"Let us work through it step by step .",
		"We take it one step at a time .",
		"Here is how to think about A .",
	}
}

func bodies() [8]string {
	return [...]string{
		"First we note what is said about A and B .",
		"The question gives N for A .",
		"Together N and M make S .",
		"So B follows from A .",
		"Next we look at A again , now with B in mind .",
		"That leaves M for B .",
		"With N of A there is enough for every B .",
		"This step is easy to check .",
	}
}

const (
	closing = "The answer is S ."
	padding = "To be sure we check it once more , slowly and from the start , as one should with every A and every B that counts"
)

// write returns an answer of exactly this number of tokens. One that never ends has no closing
// sentence.
func write(prompt string, seed, tokens int, endless bool) []string {
	w := &writer{r: rand.New(rand.NewPCG(hash("text", prompt), uint64(seed))), tokens: make([]string, 0, tokens+16)}
	w.read(prompt)
	openings, bodies, end := openings(), bodies(), 0
	if !endless {
		end = len(strings.Fields(closing))
	}
	if tokens > end+12 || endless {
		w.say(openings[w.r.IntN(len(openings))])
	}
	for room := tokens - end - len(w.tokens); room > 0; room = tokens - end - len(w.tokens) {
		if room > 12 || endless { // the longest sentence has twelve tokens
			w.say(bodies[w.r.IntN(len(bodies))])
		} else {
			w.pad(room)
		}
	}
	if endless {
		return w.tokens[:tokens]
	}
	w.say(closing)
	return w.tokens[max(0, len(w.tokens)-tokens):] // a very short answer is only the end of the closing sentence
}

// pad says something of exactly this many tokens.
func (w *writer) pad(tokens int) {
	words := strings.Fields(padding)
	w.say(strings.Join(words[:min(tokens-1, len(words))], " ") + " .")
}

// say adds the tokens of a sentence.
func (w *writer) say(sentence string) {
	n, m := w.number(), w.number()
	a, b := w.word(), w.word()
	for _, t := range strings.Fields(sentence) {
		switch t {
		case "A":
			t = a
		case "B":
			t = b
		case "N":
			t = strconv.Itoa(n)
		case "M":
			t = strconv.Itoa(m)
		case "S":
			t = strconv.Itoa(n + m)
		}
		if t != "." && t != "," && len(w.tokens) > 0 {
			t = " " + t
		}
		w.tokens = append(w.tokens, t)
	}
}

func (w *writer) word() string { return w.words[w.r.IntN(len(w.words))] }
func (w *writer) number() int  { return w.numbers[w.r.IntN(len(w.numbers))] }

// read picks words and numbers of the prompt to write about.
func (w *writer) read(prompt string) {
	const enough = 16
	for field := range strings.FieldsFuncSeq(prompt[:min(len(prompt), 4<<10)], notWord) {
		if n, err := strconv.Atoi(field); err == nil {
			if len(w.numbers) < enough && n < 1e6 {
				w.numbers = append(w.numbers, n)
			}
		} else if len(w.words) < enough && len(field) > 4 && field[0] >= 'a' && field[0] <= 'z' {
			w.words = append(w.words, strings.ToValidUTF8(field, "")) // the prompt may have been cut inside a letter
		}
	}
	if len(w.words) == 0 {
		w.words = []string{"this", "that"}
	}
	if len(w.numbers) == 0 {
		w.numbers = []int{1 + w.r.IntN(9), 1 + w.r.IntN(9)}
	}
}

func notWord(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }

// countTokens estimates the tokens of a prompt as a tokenizer would make them: one for each word
// of up to six letters, one for each sign, and some for the template.
func countTokens(prompt string) int {
	tokens, letters := 6, 0
	for _, r := range prompt {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			if letters%6 == 0 {
				tokens++
			}
			letters++
			continue
		case !unicode.IsSpace(r):
			tokens++
		}
		letters = 0
	}
	return tokens
}

// hash makes a number of a text; salt keeps numbers for different purposes apart.
func hash(salt, text string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(salt)) // a hash takes everything
	_, _ = h.Write([]byte(text))
	return h.Sum64()
}
