package producer

import (
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"gleaner/internal/pipeline"
)

// maxSeed stands for any seed when sizes are counted.
const maxSeed = 1<<31 - 1

// Sizes are those of version 1 of the work message, whatever version is sent: batches are cut once,
// and this version may have to continue a load that an earlier one began. What later versions add
// to a message is small compared with MaxBatchBytes.

// emptyBytes returns the encoded bytes of a batch of this run without any generation.
func emptyBytes(run pipeline.Run) (int, error) {
	encoded, err := pipeline.Encode(struct {
		Run         string           `json:"run"`
		UID         string           `json:"uid"`
		Batch       int              `json:"batch"`
		Round       int              `json:"round"`
		Model       string           `json:"model"`
		System      string           `json:"system,omitempty"`
		Options     pipeline.Options `json:"options"`
		Generations []struct{}       `json:"generations"`
	}{run.Name, run.UID, pipeline.MaxBatches, 1, run.Spec.Model, run.Spec.System, run.Spec.Options, nil})
	return len(encoded), err
}

// generationBytes returns the encoded bytes of a generation with these messages of its own, and
// with the longest possible numbers. What it returns for one message has to stay as it is, since
// it decides where the batches of a run that is loaded already are cut.
func generationBytes(messages []pipeline.Message, tools pipeline.JSON) (int, error) {
	last := len(messages) - 1
	size := promptBytes(messages[last].Content)
	if last == 0 && messages[last].ToolCalls == "" && tools == "" {
		return size, nil
	}
	messages = slices.Clone(messages)
	messages[last].Content = "" // counted already
	more, err := pipeline.Encode(pipeline.Generation{Messages: messages, Tools: tools})
	return size + len(more), err
}

// promptBytes returns the encoded bytes of a generation with this prompt. It counts them, since
// encoding takes longer than all else that is done for a row.
func promptBytes(prompt string) int {
	size := len(`{"index":,"item":,"sample":,"seed":,"prompt":""},`) + textBytes(prompt)
	var digits [20]byte
	for _, n := range [...]int64{pipeline.MaxBatch, pipeline.MaxItems, pipeline.MaxSamples, maxSeed} {
		size += len(strconv.AppendInt(digits[:0], n, 10))
	}
	return size
}

// textBytes returns the bytes of a text as JSON, as pipeline.Encode writes it, without its quotes.
func textBytes(text string) int {
	size := len(text)
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c >= utf8.RuneSelf:
			r, n := utf8.DecodeRuneInString(text[i:])
			if r == utf8.RuneError && n == 1 || r == '\u2028' || r == '\u2029' {
				size += len(`\u2028`) - n
			}
			i += n
			continue
		case c == '"' || c == '\\' || c >= '\b' && c <= '\r' && c != '\v':
			size++
		case c < ' ':
			size += len(`\u0000`) - 1
		}
		i++
	}
	return size
}

// cutSize is how many generations the next batch gets. It is a share of those that remain, so that
// the run ends with batches of one generation and no GPU waits long for the last batch of another.
func cutSize(remaining, most int) int {
	return max(1, min(remaining/500, most))
}

// A cutter cuts the consecutive generations of a run into batches. The same sizes give the same
// batches.
type cutter struct {
	run   string
	total int // generations of the run
	most  int // generations in a batch
	base  int // encoded bytes of a batch with no generation
	emit  func(pipeline.Batch) error

	batch pipeline.Batch
	size  int // encoded bytes of batch
	want  int // generations that batch is to get
}

// newCutter returns a cutter for a run of total generations that hands each finished batch to
// emit, in order. A batch has at most `most` generations and, if it has more than one, at most
// MaxBatchBytes encoded bytes, of which base are there without any generation.
func newCutter(run string, total, most, base int, emit func(pipeline.Batch) error) *cutter {
	c := &cutter{run: run, total: total, most: most, base: base, emit: emit}
	c.start(0)
	return c
}

func (c *cutter) start(first int) {
	c.batch = pipeline.Batch{Run: c.run, Index: c.batch.Index, First: first, State: pipeline.Planned, Round: 1}
	c.size = c.base
	c.want = cutSize(c.total-first, c.most)
}

// add adds the next generation, which takes this many encoded bytes. It returns what emit returned.
func (c *cutter) add(encodedBytes int) error {
	if c.batch.Count > 0 && c.size+encodedBytes > pipeline.MaxBatchBytes {
		if err := c.flush(); err != nil {
			return err
		}
	}
	c.batch.Count++
	c.size += encodedBytes
	if c.batch.Count == c.want {
		return c.flush()
	}
	return nil
}

// flush emits the batch that is not full yet, if there is one.
func (c *cutter) flush() error {
	if c.batch.Count == 0 {
		return nil
	}
	if c.batch.Index >= pipeline.MaxBatches {
		return fmt.Errorf("run %s needs more than %d batches: raise the batch size or split the dataset", c.run, int(pipeline.MaxBatches))
	}
	batch := c.batch
	c.batch.Index++
	c.start(batch.First + batch.Count)
	return c.emit(batch)
}

// batches returns how many batches were emitted.
func (c *cutter) batches() int { return c.batch.Index }
