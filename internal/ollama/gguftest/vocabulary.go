package gguftest

import (
	"fmt"
	"strings"
)

// The kinds of tokens in a GGUF file.
const (
	kindNormal  int32 = 1
	kindUnknown int32 = 2
	kindControl int32 = 3
	kindByte    int32 = 6
)

// The tokens that a tokenizer has to know.
const (
	tokenUnknown = 0
	tokenBegin   = 1
	tokenEnd     = 2
)

// space is how a SentencePiece vocabulary writes one.
const space = "▁"

// A vocabulary is the list of a model's tokens. In this order it has control tokens, all bytes,
// words, signs, and the parts that the tokenizer puts words together from.
type vocabulary struct {
	tokens                          []string
	scores                          []float32 // the tokenizer merges the pair with the highest score first
	kinds                           []int32
	known                           map[string]bool
	firstWord, firstSign, firstPart int
}

func newVocabulary() *vocabulary {
	v := &vocabulary{known: map[string]bool{}}
	v.add("<unk>", kindUnknown)
	for _, t := range []string{"<s>", "</s>", "[INST]", "[/INST]"} {
		v.add(t, kindControl)
	}
	for b := range 256 {
		v.add(fmt.Sprintf("<0x%02X>", b), kindByte)
	}
	v.firstWord = len(v.tokens)
	for _, w := range strings.Fields(words) {
		v.add(space+w, kindNormal)
	}
	v.firstSign = len(v.tokens)
	for _, s := range []string{".", ",", "?", "!"} {
		v.add(s, kindNormal)
	}
	v.firstPart = len(v.tokens)
	// Words are merged step by step, so each beginning of a word has to be a token, too.
	for _, w := range v.tokens[v.firstWord:v.firstSign] {
		letters := []rune(w)
		for n := 2; n < len(letters); n++ {
			v.add(string(letters[:n]), kindNormal)
		}
	}
	v.add(space, kindNormal)
	for c := '!'; c <= '~'; c++ {
		v.add(string(c), kindNormal)
	}
	for len(v.tokens)%32 != 0 { // a size that matrices like
		v.add(fmt.Sprintf("<pad%d>", len(v.tokens)), kindControl)
	}
	return v
}

// add adds a token that is not there yet. Normal ones are scored in the order in which they come.
func (v *vocabulary) add(token string, kind int32) {
	if v.known[token] {
		return
	}
	v.known[token] = true
	score := float32(0)
	if kind == kindNormal {
		score = -float32(len(v.tokens) - v.firstWord)
	}
	v.tokens, v.scores, v.kinds = append(v.tokens, token), append(v.scores, score), append(v.kinds, kind)
}
