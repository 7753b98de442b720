package pipeline

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// WorkVersion is the newest version of the work messages that this program writes; each message has
// the oldest one that says what it holds. Version 1 had a system prompt and one prompt for each
// generation, in the fields "system", "generations" and "prompt". This program still reads it.
// Programs that know only version 1 find no generations in a newer message and hand it back.
const WorkVersion = 4

// Versions of messages that programs do right which know no version above it.
const (
	plainVersion   = 2 // it carries no earlier verdicts, and no options but the first ones
	verdictVersion = 3 // it carries some, asks for nothing but texts, and has no other options either
)

// A Work is a message on the WORK stream. It holds everything that a worker needs to generate a
// batch.
type Work struct {
	Version     int          `json:"version"` // while it is encoded, else 0
	Run         string       `json:"run"`
	UID         string       `json:"uid"` // of the run
	Batch       int          `json:"batch"`
	Round       int          `json:"round"`
	Token       Token        `json:"token,omitempty"` // which results and the dead letter bring back
	Model       string       `json:"model"`
	Shared      []Message    `json:"messages,omitempty"` // the beginning of every generation's conversation
	Options     Options      `json:"options"`
	Reseeded    bool         `json:"reseeded,omitempty"` // the seeds are not derived from the run's seed, so each result has to name its own
	Generations []Generation `json:"requests"`           // those to generate

	// Of a batch whose verdicts are doubted. Every generation without a stored answer is among
	// Generations or Final; the worker copies Final into its dead letter without running it.
	Judged []LaneID            `json:"judged,omitempty"` // the GPUs that judged it, which pass it on
	Needs  int                 `json:"needs,omitempty"`  // tokens of context that it needs at least; 0: not known
	Final  []GenerationFailure `json:"final,omitempty"`  // verdicts that stay
}

// ID returns the id of the batch.
func (w Work) ID() string { return BatchID(w.Run, w.Batch) }

// Request returns the request for one of the generations.
func (w Work) Request(g Generation) Request {
	return Request{Model: w.Model, Messages: slices.Concat(w.Shared, g.Messages), Tools: g.Tools, Seed: g.Seed, Options: w.Options}
}

// needsTools reports whether a generation of the message has tools, or the beginning of an answer.
// Programs that know only version 3 would leave both out, without a word.
func (w Work) needsTools() bool {
	needs := func(g Generation) bool {
		return g.Tools != "" || Prefill(g.Messages) != "" || slices.ContainsFunc(g.Messages, Message.usesTools)
	}
	return slices.ContainsFunc(w.Shared, Message.usesTools) || slices.ContainsFunc(w.Generations, needs) ||
		slices.ContainsFunc(w.Final, func(f GenerationFailure) bool { return needs(f.Generation) })
}

// A StoredWork is a work message on the WORK stream.
type StoredWork struct {
	Work
	Sequence uint64 `json:"sequence"` // of the message, which identifies it and no later one of the batch
}

// A Generation is one answer wanted for an item.
type Generation struct {
	Index    int       `json:"index"` // in its batch
	Item     int       `json:"item"`
	Sample   int       `json:"sample"`
	Seed     int       `json:"seed"`
	Messages []Message `json:"messages"` // rendered, without those that the batch shares
	Tools    JSON      `json:"tools,omitempty"`
}

// Prompt returns the content of the last message, to which the answer replies.
func (g Generation) Prompt() string { return lastContent(g.Messages) }

// Validate returns what is wrong with a work message.
func (w Work) Validate() error {
	if err := ValidateRunName(w.Run); err != nil {
		return err
	}
	switch {
	case w.Batch < 0 || w.Batch >= MaxBatches:
		return fmt.Errorf("batch %d is out of range", w.Batch)
	case w.Round < 1:
		return fmt.Errorf("round %d is out of range", w.Round)
	case len(w.UID) > 64:
		return errors.New("the uid is too long")
	case w.Version > WorkVersion:
		return fmt.Errorf("the message has version %d, this program reads up to %d: use a newer one", w.Version, WorkVersion)
	case w.Model == "":
		return errors.New("no model")
	case w.Options.NumPredict < 1 || w.Options.NumPredict > MaxNumPredict:
		return fmt.Errorf("num_predict %d is out of range", w.Options.NumPredict)
	case len(w.Generations) == 0 || len(w.Generations) > MaxBatch:
		return fmt.Errorf("%d generations", len(w.Generations))
	}
	last := -1
	for _, g := range w.Generations {
		if g.Index <= last || g.Index >= MaxBatch || g.Item < 0 || g.Item >= MaxItems || g.Sample < 0 || g.Sample >= MaxSamples {
			return fmt.Errorf("generation %d, item %d, sample %d is out of range or out of order", g.Index, g.Item, g.Sample)
		}
		if err := validateRequest(w.Request(g).Messages, g.Tools); err != nil {
			return fmt.Errorf("generation %d: %w", g.Index, err)
		}
		last = g.Index
	}
	if len(w.Judged) > MaxJudged || !countable(w.Needs) {
		return fmt.Errorf("%d GPUs judged it, and it needs %d tokens: out of range", len(w.Judged), w.Needs)
	}
	if len(w.Final) == 0 {
		return nil
	}
	if err := validateFailures(w.Final); err != nil {
		return fmt.Errorf("the verdicts that stay: %w", err)
	}
	for _, f := range w.Final {
		if slices.ContainsFunc(w.Generations, func(g Generation) bool { return g.Index == f.Index }) {
			return fmt.Errorf("generation %d is to be generated and has a verdict that stays", f.Index)
		}
	}
	return nil
}

// Results are answers of one batch: a message on the RESULTS stream.
type Results struct {
	Run      string     `json:"run"`
	UID      string     `json:"uid"` // of the run, as in the work message
	Batch    int        `json:"batch"`
	Round    int        `json:"round"`
	Token    Token      `json:"token,omitempty"` // as in the work message
	Consumer string     `json:"consumer"`        // ULID of the consumer that generated the answers
	GPU      string     `json:"gpu"`
	Engine   EngineName `json:"engine,omitempty"`
	Digest   string     `json:"digest,omitempty"` // of the model that generated them; a server without digests: the name that it reports
	Results  []Result   `json:"results"`
}

// ID returns the id of the batch.
func (r Results) ID() string { return BatchID(r.Run, r.Batch) }

// A Result is the answer for one generation. The consumer fills in its fields, both stores keep
// them, the dataset package exports them, and plan assumes them for a run without answers: a new
// field concerns all four, and neither the sink nor reconcile.
type Result struct {
	Index        int    `json:"index"` // in its batch
	Item         int    `json:"item"`
	Sample       int    `json:"sample"`
	Text         string `json:"text"`
	Reasoning    string `json:"reasoning,omitempty"` // what the model thought before it
	Finish       Finish `json:"finish"`
	Seed         int    `json:"seed,omitempty"` // 0 if it is the one that follows from the run's
	PromptTokens int    `json:"prompt_tokens"`
	OutputTokens int    `json:"output_tokens"`
	// ThinkingTokens is about how many of the output tokens were thinking, see Completion.
	ThinkingTokens int       `json:"thinking_tokens,omitempty"`
	DurationMS     int       `json:"duration_ms"` // from the request to the last token
	CreatedAt      time.Time `json:"created_at"`
}

// Validate returns what is wrong with a results message by itself. Whether its run, batch and
// generations exist is not checked.
func (r Results) Validate() error {
	if err := ValidateRunName(r.Run); err != nil {
		return err
	}
	switch {
	case r.Batch < 0 || r.Batch >= MaxBatches:
		return fmt.Errorf("batch %d is out of range", r.Batch)
	case r.Round < 1:
		return fmt.Errorf("round %d is out of range", r.Round)
	case len(r.UID) > 64 || len(r.Consumer) > 64 || len(r.GPU) > 128 || !utf8.ValidString(r.Consumer) || !utf8.ValidString(r.GPU):
		return errors.New("the uid, the consumer or the GPU is not allowed")
	case !engineName.MatchString(string(r.Engine)) || r.Engine == EngineUnsaid || r.Engine == "" && r.Digest != "":
		return fmt.Errorf("engine %.40q is not allowed", r.Engine)
	case len(r.Digest) > maxDigest || !utf8.ValidString(r.Digest) || r.Digest == PinAny:
		return fmt.Errorf("digest %.80q is not allowed", r.Digest)
	case len(r.Results) == 0 || len(r.Results) > MaxBatch:
		return fmt.Errorf("%d results", len(r.Results))
	}
	seen := map[int]bool{}
	for _, x := range r.Results {
		switch {
		case x.Index < 0 || x.Index >= MaxBatch || x.Item < 0 || x.Item >= MaxItems || x.Sample < 0 || x.Sample >= MaxSamples:
			return fmt.Errorf("generation %d, item %d, sample %d is out of range", x.Index, x.Item, x.Sample)
		case seen[x.Index]:
			return fmt.Errorf("generation %d stands there twice", x.Index)
		case len(x.Text) > MaxTextBytes:
			return fmt.Errorf("the text of generation %d has %d bytes, the limit is %d", x.Index, len(x.Text), MaxTextBytes)
		case len(x.Reasoning) > MaxReasoningBytes:
			return fmt.Errorf("the thinking of generation %d has %d bytes, the limit is %d", x.Index, len(x.Reasoning), MaxReasoningBytes)
		case !utf8.ValidString(x.Reasoning):
			return fmt.Errorf("the thinking of generation %d is not valid UTF-8", x.Index)
		case !utf8.ValidString(x.Text):
			return fmt.Errorf("the text of generation %d is not valid UTF-8", x.Index)
		case strings.TrimSpace(x.Text) == "":
			return fmt.Errorf("the text of generation %d is empty", x.Index)
		case x.Finish != FinishStop:
			return fmt.Errorf("generation %d is not complete: finish %.32q", x.Index, x.Finish)
		case !countable(x.PromptTokens) || !countable(x.OutputTokens) || !countable(x.DurationMS) || !countable(x.Seed):
			return fmt.Errorf("a count or the seed of generation %d is out of range", x.Index)
		case x.ThinkingTokens < 0 || x.ThinkingTokens > x.OutputTokens:
			return fmt.Errorf("%d of the %d tokens of generation %d are said to be thinking", x.ThinkingTokens, x.OutputTokens, x.Index)
		}
		seen[x.Index] = true
	}
	return nil
}

// maxDigest bounds a digest: 64 hexadecimal digits, or the name of a model where there is none.
const maxDigest = 256

// countable reports whether n is small enough that a store can add up one such number for each
// generation of a run.
func countable(n int) bool { return n >= 0 && n <= math.MaxInt32 }

// Encode returns v as JSON, without escaping <, > and &, since answers are full of them.
func Encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// EncodeWork returns a work message of the present version as JSON.
func EncodeWork(w Work) ([]byte, error) {
	switch {
	case w.needsTools() || !w.Options.isPlain():
		w.Version = WorkVersion
	case len(w.Judged) > 0 || len(w.Final) > 0 || w.Needs > 0:
		w.Version = verdictVersion
	default:
		w.Version = plainVersion
	}
	return Encode(w)
}

// DecodeWork reads a work message, also one of version 1, and validates it.
func DecodeWork(data []byte) (Work, error) {
	var wire struct {
		Work
		// Of version 1.
		System      string `json:"system"`
		Generations []struct {
			Generation
			Prompt string `json:"prompt"`
		} `json:"generations"`
	}
	if err := decode(data, &wire); err != nil {
		return Work{}, fmt.Errorf("work message: %w", err)
	}
	w := wire.Work
	if len(w.Generations) == 0 {
		w.Shared = systemMessage(wire.System)
		for _, g := range wire.Generations {
			g.Generation.Messages = User(g.Prompt)
			w.Generations = append(w.Generations, g.Generation)
		}
	}
	if err := w.Validate(); err != nil {
		return Work{}, fmt.Errorf("work message: %w", err)
	}
	w.Version = 0
	return w, nil
}

// systemMessage returns the messages for a system prompt of version 1.
func systemMessage(content string) []Message {
	if content == "" {
		return nil
	}
	return []Message{{Role: RoleSystem, Content: content}}
}

// DecodeResults reads a results message and validates it.
func DecodeResults(data []byte) (Results, error) {
	var r Results
	if err := decode(data, &r); err != nil {
		return Results{}, fmt.Errorf("results message: %w", err)
	}
	if err := r.Validate(); err != nil {
		return Results{}, fmt.Errorf("results message: %w", err)
	}
	return r, nil
}

// maxValues is more than any message has: 256 generations with a dozen fields each, and the fields
// of the message itself.
const maxValues = 64 << 10

// decode reads JSON into a message. It refuses input with too many values: three bytes of a list
// may become a struct of a hundred bytes, so a few KiB of compressed input could take gigabytes of
// the reader's memory.
func decode(data []byte, message any) error {
	if values(data) > maxValues {
		return fmt.Errorf("it holds more than %d values", maxValues)
	}
	return json.Unmarshal(data, message)
}

// values returns the number of commas in JSON outside of strings, which bounds its values.
func values(data []byte) (n int) {
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case ',':
			n++
		case '"':
			for i++; i < len(data) && data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
		}
	}
	return n
}
