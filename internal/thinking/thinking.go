// Package thinking tells the thinking of a model from its answer, where both came in one text.
// Servers that know a model keep them apart; for a model that they do not know, or one with a
// template of its own, the thinking stands at the beginning of the text, between tags.
package thinking

import (
	"cmp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A family is how some models mark their thinking.
type family struct {
	opens  []string
	closes []string
	// inPrompt says that templates put the opening tag at the end of the prompt, so that a text may
	// begin with the thinking and only the closing tag comes.
	inPrompt bool
	heads    []string // what may stand in front of the answer
	tails    []string // what may stand behind it
}

// families is the table of the tags. Tags that are only ever asked for in prompts, such as
// <reasoning>, are not here: there they are part of the answer.
func families() []family {
	return []family{
		{ // DeepSeek R1 and what learned from it, Qwen, GLM, MiniMax, Phi, Granite
			opens: []string{"<think>"}, closes: []string{"</think>"}, inPrompt: true,
		},
		{opens: []string{"<thinking>"}, closes: []string{"</thinking>"}},
		{ // EXAONE Deep
			opens: []string{"<thought>"}, closes: []string{"</thought>"}, inPrompt: true,
		},
		{ // Magistral
			opens: []string{"[THINK]"}, closes: []string{"[/THINK]"},
		},
		{ // gpt-oss: Harmony
			opens:  []string{"<|channel|>analysis<|message|>", "<|channel|>commentary<|message|>"},
			closes: []string{"<|end|>", "<|start|>assistant<|channel|>final<|message|>", "<|channel|>final<|message|>"},
			heads:  []string{"<|start|>assistant", "<|channel|>final<|message|>"},
			tails:  []string{"<|return|>", "<|end|>"},
		},
		{ // Gemma 4
			opens: []string{"<|channel>thought"}, closes: []string{"<channel|>"},
		},
		{ // Seed-OSS
			opens: []string{"<seed:think>"}, closes: []string{"</seed:think>"}, inPrompt: true,
		},
		{ // LongCat
			opens: []string{"<longcat_think>"}, closes: []string{"</longcat_think>"}, inPrompt: true,
		},
		{ // Kimi-VL
			opens: []string{"◁think▷"}, closes: []string{"◁/think▷"}, inPrompt: true,
		},
		{ // Command A, Command R7B
			opens: []string{"<|START_THINKING|>"}, closes: []string{"<|END_THINKING|>"}, inPrompt: true,
			heads: []string{"<|START_RESPONSE|>"}, tails: []string{"<|END_RESPONSE|>"},
		},
		{ // Apertus
			opens: []string{"<|inner_prefix|>"}, closes: []string{"<|inner_suffix|>"}, inPrompt: true,
		},
		{ // OpenThinker, Sky-T1
			opens: []string{"<|begin_of_thought|>"}, closes: []string{"<|end_of_thought|>"},
			heads: []string{"<|begin_of_solution|>"}, tails: []string{"<|end_of_solution|>"},
		},
	}
}

// Parts are the parts of a text.
type Parts struct {
	Answer  string // the text without its thinking; the whole text while Open
	Thought string // the thinking, without the tags and the white space around it
	Found   bool   // there are tags, perhaps with nothing between them
	Open    bool   // the thinking has no end, so there is no answer
}

// Split takes the thinking off the beginning of a text. Tags that come later belong to an answer
// that speaks about them. A text without thinking stays as it is, byte for byte.
func Split(text string) (p Parts) {
	p = Parts{Answer: text}
	table := families()
	var by family
	var thoughts []string
	defer func() { p.Thought = cmp.Or(p.Thought, strings.Join(thoughts, "\n\n")) }()
	for rest := space(text); ; {
		f, body, ok := opened(table, rest)
		if !ok {
			break
		}
		p.Found, by = true, f
		thought, after, closed := cutFirst(body, f.closes)
		if thought = strings.TrimSpace(thought); thought != "" {
			thoughts = append(thoughts, thought)
		}
		if !closed {
			p.Answer, p.Open = text, true
			return p
		}
		rest = space(after)
		p.Answer = rest
	}
	if p.Found {
		p.Answer = by.unwrap(p.Answer)
		return p
	}
	for _, f := range table {
		if thought, after, ok := f.closing(text); ok {
			return Parts{Answer: f.unwrap(space(after)), Thought: strings.TrimSpace(thought), Found: true}
		}
	}
	for _, f := range table {
		if f.headed(text) {
			p.Answer = f.unwrap(space(text))
		}
	}
	return p
}

func space(s string) string { return strings.TrimLeftFunc(s, unicode.IsSpace) }

// opened returns the family with whose opening tag a text begins, and what follows it.
func opened(table []family, text string) (f family, body string, ok bool) {
	for _, f := range table {
		inner := text
		for _, head := range f.heads {
			inner = space(strings.TrimPrefix(inner, head))
		}
		for _, open := range f.opens {
			if body, ok := strings.CutPrefix(inner, open); ok {
				return f, body, true
			}
		}
	}
	return family{}, "", false
}

// cutFirst cuts a text around the first of some tags.
func cutFirst(text string, tags []string) (before, after string, found bool) {
	first, length := len(text), 0
	for _, tag := range tags {
		if i := strings.Index(text, tag); i >= 0 && i < first {
			first, length = i, len(tag)
		}
	}
	return text[:first], text[first+length:], length > 0
}

// mostQuoted is how many closing tags are looked at: an answer that has more of them, all of which
// are quoted, speaks about them.
const mostQuoted = 16

// closing cuts a text around the closing tag that ends its thinking although there is no opening
// one. An answer that speaks about tags names them in sentences, in quotes or in code, and the
// opening one first.
func (f family) closing(text string) (thought, after string, ok bool) {
	if !f.inPrompt {
		return "", "", false
	}
	tag, from := f.closes[0], 0
	for range mostQuoted {
		i := strings.Index(text[from:], tag)
		if i < 0 {
			break
		}
		at := from + i
		from = at + len(tag)
		if names(text[:at], f.opens[0]) {
			break
		}
		if stands(text, at, from) {
			return text[:at], text[from:], true
		}
	}
	return "", "", false
}

// names reports whether a text has a tag outside of quotes.
func names(text, tag string) bool {
	for from := 0; ; {
		i := strings.Index(text[from:], tag)
		if i < 0 {
			return false
		}
		at := from + i
		if from = at + len(tag); !quoted(text, at, from) {
			return true
		}
	}
}

// stands reports whether the tag from begin to end stands as a model writes it: on a line of its
// own or right behind the last word, in no sentence, quotes or block of code.
func stands(text string, begin, end int) bool {
	before := text[:begin]
	line := before[strings.LastIndexByte(before, '\n')+1:]
	last, _ := utf8.DecodeLastRuneInString(line)
	inSentence := unicode.IsSpace(last) && strings.TrimSpace(line) != ""
	return !inSentence && !quoted(text, begin, end) && strings.Count(before, "```")%2 == 0
}

// quoted reports whether what stands from begin to end has a quotation mark or a bracket beside
// it.
func quoted(text string, begin, end int) bool {
	last, _ := utf8.DecodeLastRuneInString(text[:begin])
	next, _ := utf8.DecodeRuneInString(text[end:])
	return strings.ContainsRune("`\"'“‘„«‹(/", last) || strings.ContainsRune("`\"'”’“»›)", next)
}

// headed reports whether a text begins with what the family puts in front of an answer.
func (f family) headed(text string) bool {
	for _, head := range f.heads {
		if strings.HasPrefix(space(text), head) {
			return true
		}
	}
	return false
}

// unwrap takes off what the family puts around an answer.
func (f family) unwrap(answer string) string {
	for _, head := range f.heads {
		if rest, ok := strings.CutPrefix(answer, head); ok {
			answer = space(rest)
		}
	}
	for _, tail := range f.tails {
		if rest, ok := strings.CutSuffix(strings.TrimRightFunc(answer, unicode.IsSpace), tail); ok {
			answer = rest
		}
	}
	return answer
}
