package dataset

import (
	"bytes"
	"slices"
)

// Bounds of what a Profile keeps.
const (
	mostProfiled    = 1000      // columns
	mostNamedBytes  = 256 << 10 // of all names together
	longestProfiled = 1 << 10   // bytes of a name
)

// A Profile collects which columns rows have and of which kinds their values are. The zero value is
// empty and ready. Its memory is bounded; what does not fit is only known to be there.
type Profile struct {
	rows    int
	columns []profiled
	known   map[string]int // by name
	named   int            // bytes of all names
	more    bool
	found   []column // of the present row; kept for its memory
}

type profiled struct {
	name   string
	quoted []byte // as it was written where it was seen first
	counts [kinds]int
	last   int // number of the last row that has it
}

// A ColumnProfile says what a column of many rows holds.
type ColumnProfile struct {
	Name    string      `json:"name"`
	Kinds   []KindCount `json:"kinds"`             // of its values, the most frequent first; null is none
	Null    int         `json:"null,omitempty"`    // rows in which it is null
	Missing int         `json:"missing,omitempty"` // rows that do not have it
}

// A KindCount is how many values of a column are of a kind.
type KindCount struct {
	Kind string `json:"kind"` // text, integer, number, boolean, list, object
	Rows int    `json:"rows"`
}

// A kind is that of a JSON value.
type kind int

const (
	kindText kind = iota
	kindInteger
	kindNumber
	kindBoolean
	kindList
	kindObject
	kindNull
	kinds int = iota
)

func (k kind) String() string {
	return [kinds]string{"text", "integer", "number", "boolean", "list", "object", "null"}[k]
}

// Observe takes in a row, which has to be a JSON object.
func (p *Profile) Observe(row []byte) {
	p.rows++
	p.found = columnsOf(p.found[:0], row)
	for i, c := range p.found {
		at := i
		if i >= len(p.columns) || !bytes.Equal(p.columns[i].quoted, c.name) { // rows mostly have their columns in one order
			var ok bool
			if at, ok = p.find(c.name); !ok {
				continue
			}
		}
		known := &p.columns[at]
		if known.last == p.rows {
			continue // it stands twice in the row
		}
		known.last = p.rows
		known.counts[kindOfValue(row[c.start:c.end])]++
	}
}

// find returns where a column is, and makes it known if there is room.
func (p *Profile) find(quoted []byte) (at int, ok bool) {
	inner := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(inner, '\\') >= 0 {
		inner = []byte(unquote(quoted))
	}
	if at, ok = p.known[string(inner)]; ok {
		return at, true
	}
	if len(p.columns) == mostProfiled || len(inner) > longestProfiled || p.named+len(inner) > mostNamedBytes {
		p.more = true
		return 0, false
	}
	if p.known == nil {
		p.known = map[string]int{}
	}
	at = len(p.columns)
	p.named += len(inner)
	p.known[string(inner)] = at
	p.columns = append(p.columns, profiled{name: string(inner), quoted: bytes.Clone(quoted)})
	return at, true
}

// kindOfValue returns the kind of a JSON value.
func kindOfValue(value []byte) kind {
	switch value[0] {
	case '"':
		return kindText
	case '[':
		return kindList
	case '{':
		return kindObject
	case 't', 'f':
		return kindBoolean
	case 'n':
		return kindNull
	}
	if bytes.ContainsAny(value, ".eE") {
		return kindNumber
	}
	return kindInteger
}

// Rows returns how many rows were observed.
func (p *Profile) Rows() int { return p.rows }

// Columns returns the columns in the order in which they were seen first, and whether there are
// more that were not kept.
func (p *Profile) Columns() (columns []ColumnProfile, more bool) {
	for _, c := range p.columns {
		found := ColumnProfile{Name: c.name, Null: c.counts[kindNull], Missing: p.rows}
		for k, n := range c.counts {
			found.Missing -= n
			if n > 0 && kind(k) != kindNull {
				found.Kinds = append(found.Kinds, KindCount{kind(k).String(), n})
			}
		}
		slices.SortStableFunc(found.Kinds, func(a, b KindCount) int { return b.Rows - a.Rows })
		columns = append(columns, found)
	}
	return columns, p.more
}
