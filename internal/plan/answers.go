package plan

import (
	"strings"
	"time"

	"gleaner/internal/pipeline"
)

// answers makes the answers of batches: the given ones in turn, or texts of the assumed length.
// These texts are cut from prompts, because the size of a message depends on how well a text can be
// compressed, and prompts and answers are about the same subject.
type answers struct {
	given  []pipeline.StoredResult
	next   int
	tokens int
	bytes  int
	rate   float64 // tokens a second of a slot
	text   strings.Builder
	at     int
}

// anyDigest is as long as the digest of a model, which stands in each message and each result.
var anyDigest = strings.Repeat("0", 64)

// anyKey makes tokens as large as those of a run that is loaded.
var anyKey = pipeline.Key(anyULID)

// textKept is how many bytes of prompts are kept.
const textKept = 256 << 10

func newAnswers(cfg Config) *answers {
	a := &answers{given: cfg.Answers, tokens: cfg.AnswerTokens, bytes: cfg.AnswerBytes, rate: cfg.Fleet.TokensPerSecond / float64(cfg.Fleet.Slots)}
	if a.bytes == 0 {
		a.bytes = bytesPerToken * a.tokens
	}
	return a
}

// to returns the answers to a batch.
func (a *answers) to(w pipeline.Work) pipeline.Results {
	m := pipeline.Results{Run: w.Run, UID: w.UID, Batch: w.Batch, Round: w.Round, Token: w.Token, Consumer: anyULID, GPU: "127.0.0.1:11434",
		Engine: pipeline.Ollama, Digest: anyDigest}
	if len(a.given) > 0 {
		m.GPU = a.given[0].GPU
	} else {
		a.learn(w)
	}
	for _, g := range w.Generations {
		r := a.one(g)
		r.Index, r.Item, r.Sample = g.Index, g.Item, g.Sample
		m.Results = append(m.Results, r)
	}
	return m
}

// one returns the next given answer, or an assumed one. Every field that takes room in a message or
// in the store has to be set.
func (a *answers) one(g pipeline.Generation) pipeline.Result {
	if len(a.given) > 0 {
		r := a.given[a.next%len(a.given)].Result
		a.next++
		return r
	}
	at := time.Unix(1700000000, 123000000).UTC()
	return pipeline.Result{
		Text: a.cut(), Finish: pipeline.FinishStop, PromptTokens: AboutTokens(len(g.Prompt())), OutputTokens: a.tokens,
		DurationMS: int(float64(a.tokens) / a.rate * 1000), CreatedAt: at,
	}
}

// learn keeps the prompts of a batch, until there are enough.
func (a *answers) learn(w pipeline.Work) {
	for _, g := range w.Generations {
		if a.text.Len() < textKept && g.Sample == 0 {
			a.text.WriteString(g.Prompt())
			a.text.WriteString("\n")
		}
	}
}

// cut returns the next piece of the text, which starts again from the beginning where it ends.
func (a *answers) cut() string {
	text := a.text.String()
	if a.at >= len(text) {
		a.at = 0
	}
	piece := text[a.at:min(len(text), a.at+a.bytes)]
	for len(piece) < a.bytes {
		piece += text[:min(len(text), a.bytes-len(piece))]
	}
	a.at += a.bytes
	return strings.ToValidUTF8(piece, "?")
}
