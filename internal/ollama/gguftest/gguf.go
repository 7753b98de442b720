// Package gguftest writes language models that are valid and tiny: a real Ollama loads them on a
// CPU within half a second. Their answers are nonsense in English words, and end in the way that a
// test asks for.
//
// The weights are random. Hidden dimension 0 controls a model: the layers neither read it nor add
// to it, so it is the same for every token, and the first column of the output matrix decides how
// likely each token is. With it control and byte tokens never come, and the end comes with a given
// chance, or never. The other dimensions depend on the prompt and on the text so far, as in a real
// model.
package gguftest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"

	"github.com/ollama/ollama/fs/ggml"
)

// An Ending says how the answers of a model end.
type Ending string

// The endings.
const (
	Stop    Ending = "stop"    // by themselves, after MeanTokens on average
	Endless Ending = "endless" // never
	Loop    Ending = "loop"    // never, and there is only one word
)

// Config describes a model. The zero value of a field means its default; with all defaults a model
// has a megabyte.
type Config struct {
	Name       string
	Ending     Ending  // Stop
	MeanTokens float64 // 96: the length of answers that end by themselves, on average at temperature 1 without top_k and top_p
	Context    int     // 4096 tokens
	Embedding  int     // 64 dimensions
	Layers     int     // 2
	Heads      int     // 4
	KVHeads    int     // 2
	Hidden     int     // 128 dimensions inside the feed-forward part
	Seed       uint64  // 1: of the weights
}

func (c Config) withDefaults() Config {
	set := func(field *int, value int) {
		if *field == 0 {
			*field = value
		}
	}
	set(&c.Context, 4096)
	set(&c.Embedding, 64)
	set(&c.Layers, 2)
	set(&c.Heads, 4)
	set(&c.KVHeads, 2)
	set(&c.Hidden, 128)
	if c.Name == "" {
		c.Name = "tiny"
	}
	if c.Ending == "" {
		c.Ending = Stop
	}
	if c.MeanTokens == 0 {
		c.MeanTokens = 96
	}
	if c.Seed == 0 {
		c.Seed = 1
	}
	return c
}

func (c Config) validate() error {
	switch {
	case c.Ending != Stop && c.Ending != Endless && c.Ending != Loop:
		return fmt.Errorf("the ending %q is not known", c.Ending)
	case c.MeanTokens <= 1:
		return fmt.Errorf("%g tokens on average are too few", c.MeanTokens)
	case c.Heads < 1 || c.KVHeads < 1 || c.Embedding < 2 || c.Layers < 1 || c.Hidden < 1 || c.Context < 1:
		return fmt.Errorf("a dimension is not positive: %+v", c)
	case c.Embedding%(2*c.Heads) != 0 || c.Heads%c.KVHeads != 0:
		return fmt.Errorf("%d dimensions cannot be shared by %d heads with %d heads for keys", c.Embedding, c.Heads, c.KVHeads)
	}
	return nil
}

// Write writes a model to a file. The same Config gives the same bytes.
func Write(path string, cfg Config) (err error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return fmt.Errorf("model %s: %w", cfg.Name, err)
	}
	v := newVocabulary()
	tensors := weights(cfg, v)
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("model %s: %w", cfg.Name, err)
	}
	defer func() {
		if closing := file.Close(); err == nil && closing != nil {
			err = fmt.Errorf("model %s: %w", cfg.Name, closing)
		}
	}()
	if err := ggml.WriteGGUF(file, metadata(cfg, v, tensors), tensors); err != nil {
		return fmt.Errorf("model %s: %w", cfg.Name, err)
	}
	return nil
}

func metadata(cfg Config, v *vocabulary, tensors []*ggml.Tensor) ggml.KV {
	var parameters uint64
	for _, t := range tensors {
		parameters += t.Elements()
	}
	return ggml.KV{
		"general.architecture":                   "llama",
		"general.name":                           cfg.Name,
		"general.file_type":                      uint32(0), // 32-bit floats throughout
		"general.parameter_count":                parameters,
		"llama.vocab_size":                       uint32(len(v.tokens)),
		"llama.context_length":                   uint32(cfg.Context),
		"llama.embedding_length":                 uint32(cfg.Embedding),
		"llama.block_count":                      uint32(cfg.Layers),
		"llama.feed_forward_length":              uint32(cfg.Hidden),
		"llama.attention.head_count":             uint32(cfg.Heads),
		"llama.attention.head_count_kv":          uint32(cfg.KVHeads),
		"llama.attention.layer_norm_rms_epsilon": float32(1e-5),
		"llama.rope.dimension_count":             uint32(cfg.Embedding / cfg.Heads),
		"llama.rope.freq_base":                   float32(10000),
		"tokenizer.ggml.model":                   "llama",
		"tokenizer.ggml.pre":                     "default",
		"tokenizer.ggml.tokens":                  v.tokens,
		"tokenizer.ggml.scores":                  v.scores,
		"tokenizer.ggml.token_type":              v.kinds,
		"tokenizer.ggml.bos_token_id":            uint32(tokenBegin),
		"tokenizer.ggml.eos_token_id":            uint32(tokenEnd),
		"tokenizer.ggml.unknown_token_id":        uint32(tokenUnknown),
		"tokenizer.ggml.add_bos_token":           true,
		"tokenizer.ggml.add_eos_token":           false,
		"tokenizer.ggml.add_space_prefix":        true,
	}
}

// weights makes the tensors of the llama architecture.
func weights(cfg Config, v *vocabulary) []*ggml.Tensor {
	r := rand.New(rand.NewPCG(cfg.Seed, 7))
	width, vocab := cfg.Embedding, len(v.tokens)
	keys := width / cfg.Heads * cfg.KVHeads

	var tensors []*ggml.Tensor
	add := func(name string, values []float32, shape ...uint64) {
		tensors = append(tensors, &ggml.Tensor{Name: name, Shape: shape, WriterTo: floats(values)})
	}
	// readHidden adds a random matrix that reads the hidden dimensions, all but dimension 0.
	readHidden := func(name string, out int) {
		values := normal(r, width*out, 1/math.Sqrt(float64(width)))
		for row := range out {
			values[row*width] = 0
		}
		add(name, values, uint64(width), uint64(out))
	}
	// writeHidden adds a random matrix that writes to the hidden dimensions, all but dimension 0.
	writeHidden := func(name string, in int) {
		values := normal(r, in*width, 1/math.Sqrt(float64(in)))
		clear(values[:in])
		add(name, values, uint64(in), uint64(width))
	}
	add("token_embd.weight", embedding(r, width, vocab), uint64(width), uint64(vocab))
	add("output_norm.weight", ones(width), uint64(width))
	add("output.weight", output(r, cfg, v), uint64(width), uint64(vocab))
	for i := range cfg.Layers {
		block := fmt.Sprintf("blk.%d.", i)
		add(block+"attn_norm.weight", ones(width), uint64(width))
		readHidden(block+"attn_q.weight", width)
		readHidden(block+"attn_k.weight", keys)
		readHidden(block+"attn_v.weight", keys)
		writeHidden(block+"attn_output.weight", width)
		add(block+"ffn_norm.weight", ones(width), uint64(width))
		readHidden(block+"ffn_gate.weight", cfg.Hidden)
		readHidden(block+"ffn_up.weight", cfg.Hidden)
		writeHidden(block+"ffn_down.weight", cfg.Hidden)
	}
	return tensors
}

// dominance is how much larger dimension 0 is than the others: it dominates the norm, so that its
// own value after the norm hardly depends on them. rest is the variance that the others have by
// then: one, and a little from each layer.
const (
	dominance = 4.0
	rest      = 1.1
)

// embedding is random but for dimension 0, which is the same for all tokens.
func embedding(r *rand.Rand, width, vocab int) []float32 {
	values := normal(r, width*vocab, 1)
	for t := range vocab {
		values[t*width] = float32(dominance * math.Sqrt(float64(width)))
	}
	return values
}

// How likely the kinds of tokens are, as logits beside the words' zero.
const (
	spread    = 0.6 // standard deviation of the words' logits, which depend on what was said before
	likelyDot = 1
	rarePart  = -12 // single letters and the beginnings of words: only if nothing else is allowed
	neverByte = -40
	never     = -60
	always    = 60
)

func output(r *rand.Rand, cfg Config, v *vocabulary) []float32 {
	width := cfg.Embedding
	norm := dominance*dominance + rest
	values := normal(r, width*len(v.tokens), spread/math.Sqrt(float64(width-1)*rest/norm))
	// The value of dimension 0 after the norm, by which a logit has to be divided.
	steady := dominance * math.Sqrt(float64(width)/norm)
	set := func(token int, logit float64) { values[token*width] = float32(logit / steady) }
	for t, kind := range v.kinds {
		switch {
		case t >= v.firstWord && t < v.firstSign:
			set(t, 0)
		case t >= v.firstSign && t < v.firstPart:
			set(t, likelyDot)
		case kind == kindNormal:
			set(t, rarePart)
		case kind == kindByte:
			set(t, neverByte)
		default:
			set(t, never)
		}
	}
	switch cfg.Ending {
	case Stop:
		// The chance of the end depends on nothing else: its logit against the sum over all
		// words, where the mean of the exponential of a normal variable is exp(variance/2).
		clear(values[tokenEnd*width : (tokenEnd+1)*width])
		chance := 1 / cfg.MeanTokens
		set(tokenEnd, math.Log(chance/(1-chance))+math.Log(float64(v.firstPart-v.firstWord))+spread*spread/2)
	case Loop:
		set(v.firstWord, always)
	}
	return values
}
