package store

import (
	"errors"
	"slices"
	"time"

	"gleaner/internal/pipeline"
)

// The documents of each collection. Ids sort in dataset order. A document has no field for what its
// id says already.

type runDoc struct {
	Name        string            `bson:"_id"`
	UID         string            `bson:"uid"`
	Spec        pipeline.Spec     `bson:"spec"`
	State       pipeline.RunState `bson:"state"`
	Items       int               `bson:"items"`
	Generations int               `bson:"generations"`
	Batches     int               `bson:"batches"`
	CreatedAt   time.Time         `bson:"created_at"`

	LongestPrompt int                            `bson:"longest_prompt,omitempty"`
	Pins          map[pipeline.EngineName]string `bson:"pins,omitempty"`
	Key           pipeline.Key                   `bson:"key,omitempty"`
	Pause         *pipeline.RunPause             `bson:"pause,omitempty"`
}

func (d runDoc) run() pipeline.Run { return pipeline.Run(d) }

type itemDoc struct {
	ID    string `bson:"_id"`
	Input string `bson:"input"` // a string and not a document: the order of columns and the digits of numbers stay as they came
}

func (d itemDoc) item() (pipeline.Item, error) {
	run, seq, err := pipeline.ParseItemID(d.ID)
	return pipeline.Item{Run: run, Seq: seq, Input: []byte(d.Input)}, err
}

type batchDoc struct {
	ID           string              `bson:"_id"`
	Run          string              `bson:"run"`
	First        int                 `bson:"first"`
	Generations  int                 `bson:"generations"`
	State        pipeline.BatchState `bson:"state"`
	Round        int                 `bson:"round"`
	Done         []int               `bson:"done"`
	Failed       []int               `bson:"failed"`
	PromptTokens int                 `bson:"prompt_tokens"` // of the results in done
	OutputTokens int                 `bson:"output_tokens"`
	Opinions     int                 `bson:"opinions,omitempty"`
	Refused      int                 `bson:"refused,omitempty"`
	QueuedAt     time.Time           `bson:"queued_at,omitempty"`
	DoneAt       time.Time           `bson:"done_at,omitempty"`
	Error        string              `bson:"error,omitempty"`

	ThinkingTokens int `bson:"thinking_tokens,omitempty"`
}

func newBatchDoc(b pipeline.Batch) batchDoc {
	return batchDoc{
		ID: b.ID(), Run: b.Run, First: b.First, Generations: b.Count, State: b.State, Round: b.Round,
		Done: append([]int{}, b.Done...), Failed: append([]int{}, b.Failed...),
		Opinions: b.Opinions, Refused: b.Refused, QueuedAt: b.QueuedAt, DoneAt: b.DoneAt, Error: b.Error,
	}
}

func (d batchDoc) batch() (pipeline.Batch, error) {
	run, index, err := pipeline.ParseBatchID(d.ID)
	return pipeline.Batch{
		Run: run, Index: index, First: d.First, Count: d.Generations, State: d.State, Round: d.Round,
		Done: sorted(d.Done), Failed: sorted(d.Failed),
		Opinions: d.Opinions, Refused: d.Refused, QueuedAt: d.QueuedAt, DoneAt: d.DoneAt, Error: d.Error,
	}, err
}

// sorted sorts indexes, which $setUnion returns in any order. It returns nil for an empty list.
func sorted(indexes []int) []int {
	if len(indexes) == 0 {
		return nil
	}
	slices.Sort(indexes)
	return indexes
}

type resultDoc struct {
	ID           string    `bson:"_id"`
	Batch        int       `bson:"batch"`
	Index        int       `bson:"index,omitempty"`
	Round        int       `bson:"round"`
	Text         string    `bson:"text"`
	Reasoning    any       `bson:"reasoning,omitempty"` // as a packer stores it
	Finish       string    `bson:"finish"`
	Seed         int       `bson:"seed,omitempty"`
	PromptTokens int       `bson:"prompt_tokens"`
	OutputTokens int       `bson:"output_tokens"`
	DurationMS   int       `bson:"duration_ms"`
	Consumer     string    `bson:"consumer"`
	GPU          string    `bson:"gpu,omitempty"`
	Engine       string    `bson:"engine,omitempty"`
	Digest       string    `bson:"digest,omitempty"`
	CreatedAt    time.Time `bson:"created_at"`

	ThinkingTokens int `bson:"thinking_tokens,omitempty"`
}

func newResultDoc(m pipeline.Results, r pipeline.Result, reasoning any) resultDoc {
	if reasoning == "" {
		reasoning = nil // which is left out
	}
	return resultDoc{
		Reasoning: reasoning,
		ID:        pipeline.GenerationID(m.Run, r.Item, r.Sample), Batch: m.Batch, Index: r.Index, Round: m.Round, Text: r.Text, Finish: string(r.Finish), Seed: r.Seed,
		PromptTokens: r.PromptTokens, OutputTokens: r.OutputTokens, ThinkingTokens: r.ThinkingTokens, DurationMS: r.DurationMS, Consumer: m.Consumer, GPU: m.GPU,
		Engine: string(m.Engine), Digest: m.Digest, CreatedAt: r.CreatedAt,
	}
}

func (d resultDoc) result(p *packer) (pipeline.StoredResult, error) {
	_, item, sample, err := pipeline.ParseGenerationID(d.ID)
	reasoning, damage := p.unpack(d.Reasoning)
	return pipeline.StoredResult{
		Result: pipeline.Result{
			Index: d.Index, Item: item, Sample: sample, Text: d.Text, Reasoning: reasoning, Finish: pipeline.Finish(d.Finish), Seed: d.Seed,
			PromptTokens: d.PromptTokens, OutputTokens: d.OutputTokens, ThinkingTokens: d.ThinkingTokens, DurationMS: d.DurationMS, CreatedAt: d.CreatedAt,
		},
		Batch: d.Batch, Round: d.Round, Consumer: d.Consumer, GPU: d.GPU, Engine: pipeline.EngineName(d.Engine), Digest: d.Digest,
	}, errors.Join(err, damage)
}

type consumerDoc struct {
	ID            string               `bson:"_id"`
	Run           string               `bson:"run"`
	Host          string               `bson:"host"`
	Version       string               `bson:"version"`
	ServerVersion string               `bson:"ollama"`
	Tokens        bool                 `bson:"tokens,omitempty"`
	Simulated     bool                 `bson:"simulated,omitempty"`
	Model         string               `bson:"model"`
	Digest        string               `bson:"digest"`
	GPUs          []pipeline.GPUStatus `bson:"gpus"`
	Started       time.Time            `bson:"started"`
	Seen          time.Time            `bson:"seen"`
	Deadline      time.Time            `bson:"deadline,omitempty"`
}
