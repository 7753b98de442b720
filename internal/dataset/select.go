package dataset

import (
	"container/heap"
	"errors"
	"fmt"
	"io"
	"slices"

	"gleaner/internal/pipeline"
)

// A Selection says which rows of a source are taken. Its steps are done in the order of the fields.
type Selection struct {
	Explode string // a column with lists: each element becomes a row
	Where   string // an expression over the columns, in the language of expr-lang
	Limit   int    // how many rows are taken at most; 0 is all
	Random  bool   // the rows of the limit are drawn, the same ones for the same seed and rows
	Seed    int64
}

// A Selected is a source of which some rows are taken.
type Selected struct {
	source  *Source
	chosen  Selection
	drawing func(rows int, done, total int64)
	drawn   []int64 // the numbers of the rows that were drawn, in order; nil before that
}

// Select returns the rows of the source that are chosen. Drawing, which may be nil, is called with
// the rows and the bytes that were read while rows are drawn. An error says what is wrong with the
// condition.
func (s *Source) Select(chosen Selection, drawing func(rows int, done, total int64)) (*Selected, error) {
	if chosen.Random && chosen.Limit <= 0 {
		return nil, wrong("random", "drawing rows by a seed needs a limit: say how many")
	}
	if chosen.Where != "" {
		if _, err := newCondition(chosen.Where); err != nil {
			return nil, err
		}
	}
	return &Selected{source: s, chosen: chosen, drawing: drawing}, nil
}

// Open returns a reader at the first row that is taken. Where rows are drawn the first call reads
// the whole source before that.
func (s *Selected) Open() (*SelectedReader, error) {
	if s.chosen.Random && s.drawn == nil {
		if err := s.draw(); err != nil {
			return nil, err
		}
	}
	return s.open()
}

func (s *Selected) open() (*SelectedReader, error) {
	r := &SelectedReader{explode: s.chosen.Explode, left: s.chosen.Limit, limited: s.chosen.Limit > 0, drawn: s.drawn}
	if s.drawn != nil {
		r.limited = false
	}
	var err error
	if s.chosen.Where != "" {
		if r.where, err = newCondition(s.chosen.Where); err != nil {
			return nil, err
		}
	}
	if r.Reader, err = s.source.Open(); err != nil {
		return nil, err
	}
	return r, nil
}

// draw chooses rows by a number that the seed gives to each: those with the smallest are taken. So
// a larger limit takes the same rows and further ones.
func (s *Selected) draw() error {
	r, err := s.open()
	if err != nil {
		return err
	}
	defer r.Close()
	r.limited = false
	var best draws
	for n := int64(0); ; {
		_, err := r.Next()
		var bad *pipeline.RowError
		switch {
		case errors.As(err, &bad):
			continue // said when the rows are read
		case err == io.EOF:
			s.drawn = make([]int64, 0, len(best))
			for _, d := range best {
				s.drawn = append(s.drawn, d.row)
			}
			slices.Sort(s.drawn)
			return nil
		case err != nil:
			return err
		}
		d := draw{mix(uint64(s.chosen.Seed), uint64(n)), n}
		if len(best) < s.chosen.Limit {
			heap.Push(&best, d)
		} else if d.key < best[0].key {
			best[0] = d
			heap.Fix(&best, 0)
		}
		n++
		if s.drawing != nil {
			done, total := r.Progress()
			s.drawing(int(n), done, total)
		}
	}
}

// mix returns a number for a row that looks like chance and stays the same (SplitMix64).
func mix(seed, row uint64) uint64 {
	z := seed*0xd1342543de82ef95 + (row+1)*0x9e3779b97f4a7c15
	for range 2 {
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		z ^= z >> 31
	}
	return z
}

// A draw is the number of a row with what decides whether it is taken.
type draw struct {
	key uint64
	row int64
}

// draws is a heap with the largest key at its top.
type draws []draw

func (d draws) Len() int           { return len(d) }
func (d draws) Less(i, j int) bool { return d[i].key > d[j].key }
func (d draws) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }
func (d *draws) Push(x any)        { *d = append(*d, x.(draw)) }
func (d *draws) Pop() any {
	last := (*d)[len(*d)-1]
	*d = (*d)[:len(*d)-1]
	return last
}

// A SelectedReader reads the rows that were chosen.
type SelectedReader struct {
	*Reader
	where   *condition
	explode string
	limited bool
	left    int     // rows until the limit
	drawn   []int64 // that are still to come
	number  int64   // of the next row that passes

	row      []byte // that is exploded
	list     column
	elements []span
	out      []byte
	found    Chosen
}

// Chosen says what came of a selection so far.
type Chosen struct {
	Taken     int    // rows
	Refused   int    // rows for which the condition is false
	Undecided int    // rows for which it cannot be evaluated, which are not taken either
	First     string // the first of those, with the reason
	Emptied   int    // rows with an empty list to be exploded
}

// Chosen returns what came of the selection so far.
func (r *SelectedReader) Chosen() Chosen { return r.found }

// Next returns the next row that is taken, as Reader does. At the end it is an error if the
// condition names a column that no row has.
func (r *SelectedReader) Next() ([]byte, error) {
	for {
		if r.limited && r.left == 0 || r.drawn != nil && len(r.drawn) == 0 {
			return nil, io.EOF
		}
		row, err := r.next()
		if err == io.EOF && r.where != nil {
			if missing := r.where.missing(); missing != nil {
				return nil, missing
			}
		}
		if err != nil {
			return nil, err
		}
		if !r.passes(row) {
			continue
		}
		number := r.number
		r.number++
		if r.drawn != nil {
			if r.drawn[0] != number {
				continue
			}
			r.drawn = r.drawn[1:]
		}
		r.left--
		r.found.Taken++
		return row, nil
	}
}

// passes evaluates the condition.
func (r *SelectedReader) passes(row []byte) bool {
	if r.where == nil {
		return true
	}
	holds, err := r.where.holds(row)
	switch {
	case err != nil:
		if r.found.Undecided++; r.found.Undecided == 1 {
			file, line := r.Position()
			r.found.First = fmt.Sprintf("%s, line %d: %v", file, line, err)
		}
	case !holds:
		r.found.Refused++
	}
	return holds && err == nil
}

// next returns the next row, or the next element of a list as a row.
func (r *SelectedReader) next() ([]byte, error) {
	if r.explode == "" {
		return r.Reader.Next()
	}
	for len(r.elements) == 0 {
		row, err := r.Reader.Next()
		if err != nil {
			return nil, err
		}
		if err := r.open(row); err != nil {
			return nil, err
		}
		if len(r.elements) == 0 {
			r.found.Emptied++
		}
	}
	e := r.elements[0]
	r.elements = r.elements[1:]
	list := r.row[r.list.start:r.list.end]
	r.out = append(r.out[:0], r.row[:r.list.start]...)
	r.out = append(r.out, list[e.start:e.end]...)
	r.out = append(r.out, r.row[r.list.end:]...)
	return r.out, nil
}

// open finds the elements of the list in a row.
func (r *SelectedReader) open(row []byte) error {
	r.elements = r.elements[:0]
	file, line := r.Position()
	for _, c := range columnsOf(nil, row) {
		if unquote(c.name) != r.explode {
			continue
		}
		if row[c.start] != '[' {
			e := &pipeline.RowError{Name: file, Line: line, Kind: pipeline.NotAList, Problem: fmt.Sprintf("the column %q is %s, not a list: it cannot be exploded", r.explode, kindOf(row[c.start]))}
			return e.Keep(row, false)
		}
		r.row, r.list = append(r.row[:0], row...), c
		r.elements = elementsOf(r.elements, row[c.start:c.end])
		return nil
	}
	e := &pipeline.RowError{Name: file, Line: line, Kind: pipeline.NotAList, Problem: fmt.Sprintf("the row has no column %q, of which each element is to become a row", r.explode)}
	return e.Keep(row, false)
}
