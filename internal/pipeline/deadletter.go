package pipeline

import (
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"
)

// A DeadLetter describes the generations of a batch that could not be generated in one round: a
// message on the DEAD stream. It holds everything that is needed to try them again.
type DeadLetter struct {
	Run        string              `json:"run"`
	UID        string              `json:"uid"` // of the run
	Batch      int                 `json:"batch"`
	Round      int                 `json:"round"`           // in which they failed
	Token      Token               `json:"token,omitempty"` // as in the work message
	Class      Class               `json:"class"`           // of the first failure
	Message    string              `json:"message"`
	Failures   []GenerationFailure `json:"failures"`
	Deliveries int                 `json:"deliveries"` // of the work message at that time
	Consumer   string              `json:"consumer"`
	GPU        string              `json:"gpu"`
	Model      string              `json:"model"`
	Options    Options             `json:"options"`
	Shared     []Message           `json:"messages,omitempty"` // the beginning of each conversation
	Judged     []LaneID            `json:"judged,omitempty"`   // the GPUs that judged the batch so far, this one included
	FailedAt   time.Time           `json:"failed_at"`
}

// A GenerationFailure is the verdict of one GPU on one generation: why it has no answer. Fields
// that are zero are not known, as in letters of earlier versions.
type GenerationFailure struct {
	Generation
	Class    Class  `json:"class"`
	Message  string `json:"message"`
	Attempts int    `json:"attempts"`

	Judge        LaneID     `json:"judge,omitzero"`    // the GPU whose verdict it is
	Engine       EngineName `json:"engine,omitempty"`  // of its model server
	Digest       string     `json:"digest,omitempty"`  // of its model
	Context      int        `json:"context,omitempty"` // of its server, in tokens
	PromptTokens int        `json:"prompt_tokens,omitempty"`
	Exceeds      bool       `json:"exceeds,omitempty"` // the generation did not fit into that context
	Endless      bool       `json:"endless,omitempty"` // the answer did not end, so more room is of no use
	Crowded      bool       `json:"crowded,omitempty"` // others of its batch took the room in the message, so it waits for the next round
	Needs        int        `json:"needs,omitempty"`   // tokens of context that it needs at least
	Outcome      int        `json:"outcome,omitempty"` // its number among the outcomes of that GPU, see GPUStatus.Proven
	Seconds      float64    `json:"seconds,omitempty"` // from the first attempt to the verdict
	Text         string     `json:"text,omitempty"`    // what there was of an answer that was cut off or is malformed, see MaxPartialBytes
}

// Doubtful reports whether another GPU may do better, as far as the letter alone can tell: for some
// classes it also matters whether the judge has proven since that it works.
func (f GenerationFailure) Doubtful() bool {
	switch doubt := f.Class.Rule().Doubt; {
	case doubt == DoubtRoom:
		return f.Crowded
	case f.Exceeds:
		return doubt == DoubtContext || doubt == DoubtUnproven
	default:
		return doubt == DoubtUnproven || doubt == DoubtAlways
	}
}

// ID returns the id of the batch.
func (d DeadLetter) ID() string { return BatchID(d.Run, d.Batch) }

// IsOf reports whether the letter is about a batch of this load of the run, and from a consumer
// that the batch was handed to.
func (d DeadLetter) IsOf(run Run) bool {
	return d.UID == run.UID && run.Key.Admits(d.Token, d.UID, d.Batch, d.Round)
}

// Failed returns the indexes of the generations in their batch, ascending.
func (d DeadLetter) Failed() []int {
	indexes := make([]int, len(d.Failures))
	for i, f := range d.Failures {
		indexes[i] = f.Index
	}
	slices.Sort(indexes)
	return indexes
}

// Validate returns what is wrong with a dead letter by itself, without looking at its run and
// batch.
func (d DeadLetter) Validate() error {
	if err := ValidateRunName(d.Run); err != nil {
		return err
	}
	switch {
	case d.Batch < 0 || d.Batch >= MaxBatches:
		return fmt.Errorf("batch %d is out of range", d.Batch)
	case d.Round < 1:
		return fmt.Errorf("round %d is out of range", d.Round)
	case len(d.UID) > 64 || len(d.Consumer) > 64 || len(d.GPU) > 128:
		return errors.New("the uid, the consumer or the GPU is not allowed")
	case len(d.Judged) > MaxJudged:
		return fmt.Errorf("%d GPUs judged it", len(d.Judged))
	case len(d.Message) > MaxErrorBytes || !utf8.ValidString(d.Message):
		return errors.New("the message is too long or not valid UTF-8")
	}
	return validateFailures(d.Failures)
}

func validateFailures(failures []GenerationFailure) error {
	if len(failures) == 0 || len(failures) > MaxBatch {
		return fmt.Errorf("%d failures", len(failures))
	}
	seen := map[int]bool{}
	texts := 0
	for _, f := range failures {
		texts += len(f.Text)
		if err := validateRequest(f.Messages, f.Tools); err != nil {
			return fmt.Errorf("generation %d: %w", f.Index, err)
		}
		switch {
		case f.Index < 0 || f.Index >= MaxBatch || f.Item < 0 || f.Item >= MaxItems || f.Sample < 0 || f.Sample >= MaxSamples:
			return fmt.Errorf("generation %d, item %d, sample %d is out of range", f.Index, f.Item, f.Sample)
		case seen[f.Index]:
			return fmt.Errorf("generation %d stands there twice", f.Index)
		case len(f.Message) > MaxErrorBytes || !utf8.ValidString(f.Message):
			return fmt.Errorf("the message of generation %d is too long or not valid UTF-8", f.Index)
		case texts > MaxPartialBytes || !utf8.ValidString(f.Text):
			return fmt.Errorf("the text of generation %d makes %d bytes, or is not valid UTF-8", f.Index, texts)
		case len(f.Judge.Consumer) > 64 || len(f.Judge.GPU) > 128 || len(f.Engine) > 32 || len(f.Digest) > maxDigest:
			return fmt.Errorf("the judge of generation %d, its engine or its digest is not allowed", f.Index)
		case !countable(f.Context) || !countable(f.PromptTokens) || !countable(f.Needs) || !countable(f.Outcome) || !countable(f.Attempts):
			return fmt.Errorf("a count of generation %d is out of range", f.Index)
		}
		seen[f.Index] = true
	}
	return nil
}

// DecodeDeadLetter reads a dead letter and validates it. Letters about work messages of version 1,
// which have prompts in place of messages, are read as well.
func DecodeDeadLetter(data []byte) (DeadLetter, error) {
	var wire struct {
		DeadLetter
		System   string `json:"system"` // of version 1, as is Prompt
		Failures []struct {
			GenerationFailure
			Prompt string `json:"prompt"`
		} `json:"failures"`
	}
	if err := decode(data, &wire); err != nil {
		return DeadLetter{}, fmt.Errorf("dead letter: %w", err)
	}
	d := wire.DeadLetter
	if wire.System != "" {
		d.Shared = systemMessage(wire.System)
	}
	for _, f := range wire.Failures {
		if f.Prompt != "" {
			f.GenerationFailure.Messages = User(f.Prompt)
		}
		d.Failures = append(d.Failures, f.GenerationFailure)
	}
	if err := d.Validate(); err != nil {
		return DeadLetter{}, fmt.Errorf("dead letter: %w", err)
	}
	return d, nil
}

// A StoredDeadLetter is a dead letter on the DEAD stream.
type StoredDeadLetter struct {
	DeadLetter
	Sequence uint64 `json:"sequence"` // of its message, which identifies this letter and no newer one of the batch
}
