package producer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"gleaner/internal/pipeline"
	"gleaner/internal/prompt"
)

// Rows are the rows of a dataset, in order. Next returns io.EOF at the end; what it returns is
// valid until the next call.
type Rows interface {
	Next() ([]byte, error)
	Line() int // of the row that Next returned last, for error messages
	Close() error
}

// A Dataset can be read from its beginning more than once.
type Dataset struct {
	Name string
	Open func() (Rows, error)
	// Limit is how many rows are read, at most; 0: all.
	Limit int
}

// A Preflight is what one pass over a dataset found, before anything is written.
type Preflight struct {
	Run      pipeline.Run // as Load will write it, with the digest in its spec
	Dataset  Dataset
	Messages []pipeline.Message // the first request, rendered
	RowBytes int                // of all rows
}

// RunPreflight reads a whole dataset and renders every prompt, so that a bad row is found before
// anything is written. Progress, which may be nil, gets the number of rows read so far. Errors
// name the line.
func RunPreflight(ctx context.Context, name string, spec pipeline.Spec, data Dataset, progress func(rows int)) (Preflight, error) {
	if err := pipeline.ValidateRunName(name); err != nil {
		return Preflight{}, err
	}
	if err := spec.Validate(); err != nil {
		return Preflight{}, err
	}
	spec.Dataset.Name = data.Name
	found := Preflight{Run: pipeline.Run{Name: name, Spec: spec}, Dataset: data}
	err := data.each(ctx, spec, func(row []byte, messages []pipeline.Message) error {
		if found.Run.Items == 0 {
			found.Messages = messages
		}
		found.Run.Items++
		found.Run.LongestPrompt = max(found.Run.LongestPrompt, pipeline.ContentBytes(messages))
		found.RowBytes += len(row)
		if progress != nil {
			progress(found.Run.Items)
		}
		return nil
	}, &found.Run.Spec.Dataset.Digest)
	if err != nil {
		return Preflight{}, err
	}
	if found.Run.Items == 0 {
		return Preflight{}, fmt.Errorf("dataset %s has no rows", data.Name)
	}
	found.Run.Generations = found.Run.Items * spec.Samples
	return found, nil
}

// each calls do for every row with its rendered messages, and sets digest at the end.
func (d Dataset) each(ctx context.Context, spec pipeline.Spec, do func(row []byte, messages []pipeline.Message) error, digest *string) (err error) {
	renderer, err := prompt.New(spec)
	if err != nil {
		return err
	}
	rows, err := d.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	sum := sha256.New()
	for taken := 0; d.Limit == 0 || taken < d.Limit; taken++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if taken >= pipeline.MaxItems {
			return fmt.Errorf("dataset %s has more than %d rows: take fewer with a limit", d.Name, int(pipeline.MaxItems))
		}
		messages, err := renderer.Render(row)
		if err != nil {
			return fmt.Errorf("%s, line %d: %w", d.Name, rows.Line(), err)
		}
		sum.Write(row)
		sum.Write([]byte("\n"))
		if err := do(row, messages); err != nil {
			return err
		}
	}
	*digest = hex.EncodeToString(sum.Sum(nil))
	return nil
}
