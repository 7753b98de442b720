package producer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"gleaner/internal/pipeline"
	"gleaner/internal/prompt"
	"gleaner/internal/schema"
)

// Rows are the rows of a dataset, in order. Next returns io.EOF at the end, or a *pipeline.RowError
// for a row that cannot be used, after which the next one may be read; what it returns is valid
// until the next call.
type Rows interface {
	Next() ([]byte, error)
	Position() (file string, line int) // of the row that Next returned last
	Close() error
}

// A Dataset can be read from its beginning more than once.
type Dataset struct {
	Name string
	Open func() (Rows, error)
	// Limit is how many rows are taken, at most; 0: all.
	Limit int
	// Canonical appends a row in the one spelling that all forms of it have, over which the digest
	// of the dataset goes; nil: the row as it came, as earlier versions had it.
	Canonical func(dst, row []byte) []byte
	// SkipBad leaves rows out that cannot be used; else they are refused, all at once.
	SkipBad bool
	// Bad, which may be nil, gets each row that is left out while the run is loaded.
	Bad func(*pipeline.RowError) error
	// Nulled, which may be nil, returns how many numbers of the rows that were read last were NaN or
	// Infinity, and are null in them.
	Nulled func() int
	// SamePrompt allows that all rows make the same prompt.
	SamePrompt bool
	// Taken, which may be nil, gets each row that is taken while the dataset is checked.
	Taken func(row []byte)
	// Unset are the options of the spec, as in flags, that no one has set: rows that are requests
	// may do so.
	Unset []string
}

// A Preflight is what one pass over a dataset found, before anything is written.
type Preflight struct {
	Run      pipeline.Run // as Load will write it, with the digest in its spec
	Dataset  Dataset
	Messages []pipeline.Message // the first request, rendered
	Tools    pipeline.JSON      // of that
	RowBytes int                // of all rows
	Lengths  Lengths            // of all requests
	Bad      pipeline.BadRows   // that are left out
	Note     string             // what a person should know of the prompt; empty: nothing
	// EarlierDigest is the digest of the dataset as earlier versions computed it.
	EarlierDigest string
}

// A BadRowsError refuses a dataset because of rows that cannot be used.
type BadRowsError struct {
	Dataset string
	Bad     *pipeline.BadRows
	Rows    int // of the dataset, with the bad ones
}

// Error names all kinds with their counts, and the first rows of each.
func (e *BadRowsError) Error() string {
	kinds, advice := e.Bad.Kinds(), "mend the file, or leave such rows out with --skip-bad, which lists them in a file"
	if e.Bad.Total() == e.Rows {
		if advice = "mend the file"; len(kinds) == 1 && kinds[0].Kind == pipeline.NotRendered {
			advice = "mend the prompt, which fits none of them"
		}
	}
	if e.Rows == 1 {
		return kinds[0].First[0].Error()
	} else if e.Bad.Total() == 1 {
		return fmt.Sprintf("%v (of %s rows it is the only bad one: %s)", &kinds[0].First[0], pipeline.Grouped(e.Rows), advice)
	}
	return fmt.Sprintf("%s: %s of %s rows cannot be used, and nothing was written: %s:\n%s",
		e.Dataset, pipeline.Grouped(e.Bad.Total()), pipeline.Grouped(e.Rows), advice, e.Bad)
}

// RunPreflight reads a whole dataset and renders every prompt, so that bad rows are found before
// anything is written. Progress, which may be nil, gets the number of rows read so far. Rows that
// cannot be used are a *BadRowsError, unless the dataset says that they are left out.
func RunPreflight(ctx context.Context, name string, spec pipeline.Spec, data Dataset, progress func(rows int)) (Preflight, error) {
	if err := pipeline.ValidateRunName(name); err != nil {
		return Preflight{}, err
	}
	early := spec
	if early.Field == "" && early.Prompt == "" { // the rows may say it
		early.Field = prompt.RequestMessages
	}
	if err := early.Validate(); err != nil {
		return Preflight{}, err
	}
	spec, note, err := data.settle(spec)
	if err == nil {
		err = spec.Validate()
	}
	if err != nil {
		return Preflight{}, err
	}
	spec.Dataset.Name = data.Name
	found := Preflight{Run: pipeline.Run{Name: name, Spec: spec}, Dataset: data, Note: note}
	var alike sameness
	pass := pass{data: data, spec: spec,
		row: func(row []byte, request pipeline.Rendered) error {
			if found.Run.Items == 0 {
				found.Messages, found.Tools = request.Messages, request.Tools
			}
			found.Run.Items++
			found.Run.LongestPrompt = max(found.Run.LongestPrompt, pipeline.ContentBytes(request.Messages)+len(request.Tools))
			found.RowBytes += len(row)
			if data.Taken != nil {
				data.Taken(row)
			}
			if progress != nil {
				progress(found.Run.Items)
			}
			if data.SamePrompt || spec.Prompt == "" {
				return nil
			}
			return alike.add(row, request.Messages)
		},
		bad: func(e *pipeline.RowError) error { found.Bad.Add(e); return nil },
	}
	if err := pass.run(ctx); err != nil {
		return Preflight{}, err
	}
	if found.Bad.Total() > 0 && !data.SkipBad {
		return Preflight{}, &BadRowsError{data.Name, &found.Bad, found.Run.Items + found.Bad.Total()}
	}
	if found.Run.Items == 0 && found.Bad.Total() > 0 {
		return Preflight{}, fmt.Errorf("dataset %s has no row that can be used:\n%s", data.Name, &found.Bad)
	}
	if found.Run.Items == 0 {
		return Preflight{}, fmt.Errorf("dataset %s has no rows", data.Name)
	}
	if err := alike.end(); err != nil {
		return Preflight{}, err
	}
	found.Run.Spec.Dataset.Digest, found.EarlierDigest = pass.digests.both()
	found.Run.Spec.Dataset.Skipped = found.Bad.Total()
	if data.Nulled != nil {
		found.Run.Spec.Dataset.Nulled = data.Nulled()
	}
	found.Lengths = pass.lengths
	found.Run.Generations = found.Run.Items * spec.Samples
	return found, nil
}

// headRows is how many rows decide what the columns of a dataset are.
const headRows = 100

// settle returns the spec with what the first rows decide.
func (d Dataset) settle(spec pipeline.Spec) (settled pipeline.Spec, note string, err error) {
	rows, err := d.Open()
	if err != nil {
		return spec, "", err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var head [][]byte
	for read := 0; read < headRows && (d.Limit == 0 || len(head) < d.Limit); read++ {
		row, err := rows.Next()
		if bad := new(pipeline.RowError); errors.As(err, &bad) {
			continue
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return spec, "", err
		}
		head = append(head, bytes.Clone(row))
	}
	if settled, note, are := prompt.Requests(spec, head, d.Unset); are {
		return settled, note, checkSchema(settled)
	}
	return prompt.Settle(spec, head, d.SamePrompt)
}

// checkSchema returns an error for a schema that rows ask for and that none is.
func checkSchema(spec pipeline.Spec) error {
	if len(spec.Options.Schema) == 0 {
		return nil
	}
	if _, err := schema.Parse(spec.Options.Schema); err != nil {
		return &pipeline.SpecError{Field: "schema", Problem: "the rows ask for one in response_format: " + err.Error()}
	}
	return nil
}

// A pass reads a dataset once, from its beginning.
type pass struct {
	data Dataset
	spec pipeline.Spec
	row  func(row []byte, request pipeline.Rendered) error // called for each row, with what it asks
	bad  func(*pipeline.RowError) error                    // called for each that cannot be used

	digests digests // of the rows that were taken
	lengths Lengths // of their requests
	rows    Rows    // that are read
}

// run reads until the end, the limit, or the first error of row or bad.
func (p *pass) run(ctx context.Context) (err error) {
	renderer, err := prompt.NewChecking(p.spec)
	if err != nil {
		return err
	}
	rows, err := p.data.Open()
	if err != nil {
		return err
	}
	p.rows = rows
	defer func() { err = errors.Join(err, rows.Close()) }()
	p.digests = digests{canonical: p.data.Canonical, sum: sha256.New()}
	ids := newRowIDs()
	for taken := 0; p.data.Limit == 0 || taken < p.data.Limit; {
		if err := ctx.Err(); err != nil {
			return err
		}
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		var request pipeline.Rendered
		if err == nil {
			if request, err = renderer.Request(row); err == nil {
				err = ids.add(renderer, row)
			}
			err = located(err, rows, row)
		}
		if err != nil {
			var bad *pipeline.RowError
			if !errors.As(err, &bad) {
				return err
			}
			if err := p.bad(bad); err != nil {
				return err
			}
			continue
		}
		if taken >= pipeline.MaxItems {
			return fmt.Errorf("dataset %s has more than %d rows: take fewer with a limit", p.data.Name, int(pipeline.MaxItems))
		}
		taken++
		if err := p.digests.add(row); err != nil {
			return err
		}
		p.lengths.add(pipeline.ContentBytes(request.Messages)+len(request.Tools), rows.Position)
		if err := p.row(row, request); err != nil {
			return err
		}
	}
	return nil
}

// located returns what is wrong with a row as a *pipeline.RowError that says where it is.
func located(err error, rows Rows, row []byte) error {
	if err == nil {
		return nil
	}
	file, line := rows.Position()
	bad := &pipeline.RowError{Name: file, Line: line, Kind: pipeline.NotRendered, Problem: err.Error()}
	var problem *prompt.RowProblem
	if errors.As(err, &problem) {
		bad.Kind = problem.Kind
	}
	return bad.Keep(row, false)
}

// differentRows is how many different rows may make the same prompt before a dataset is refused.
const differentRows = 1000

// sameness sees whether different rows all make the same prompt, as with a template that names no
// column of theirs, or one that all of them have in common.
type sameness struct {
	first     [sha256.Size]byte // of the first prompt
	rows      map[[sha256.Size]byte]bool
	different bool
}

func (s *sameness) add(row []byte, messages []pipeline.Message) error {
	if s.different {
		return nil
	}
	all := sha256.New()
	for _, m := range messages {
		fmt.Fprintf(all, "%s %d %s", m.Role, len(m.Content), m.Content)
	}
	sum := [sha256.Size]byte(all.Sum(nil))
	if s.rows == nil {
		s.first, s.rows = sum, map[[sha256.Size]byte]bool{}
	}
	if s.different = sum != s.first; s.different {
		s.rows = nil
		return nil
	}
	s.rows[sha256.Sum256(row)] = true
	if len(s.rows) < differentRows {
		return nil
	}
	return s.end()
}

// end returns an error if all rows have made the same prompt.
func (s *sameness) end() error {
	if s.different || len(s.rows) < 2 {
		return nil
	}
	return &pipeline.SpecError{Field: "prompt", Problem: fmt.Sprintf("%s different rows all make the same prompt, so they would get the same answer: name a column that differs, or allow it with --same-prompt", pipeline.Grouped(len(s.rows)))}
}
