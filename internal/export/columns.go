package export

import (
	"fmt"
	"slices"
	"strings"
)

// maxColumns bounds how many different columns a run may have in a table, and in messages, and
// maxKeptBytes the names that are kept with a run.
const (
	maxColumns   = 10_000
	maxKeptBytes = 64 << 10
)

// Columns collects the names of the columns of many rows, in the order in which they were seen
// first. The zero value is empty and ready.
type Columns struct {
	names  []string
	known  map[string]int
	fields []field
	more   bool // there are more than maxColumns
}

// Observe takes the names of one row. It returns an error if the row is no JSON object.
func (c *Columns) Observe(row []byte) error {
	fields, err := scan(row, c.fields[:0])
	if err != nil {
		return err
	}
	c.add(fields)
	return nil
}

// Take is Observe for what is known to be a JSON object.
func (c *Columns) Take(row []byte) { c.add(scanValid(row, c.fields[:0])) }

func (c *Columns) add(fields []field) {
	c.fields = fields
	if c.known == nil {
		c.known = map[string]int{}
	}
	for _, f := range fields {
		if _, ok := c.known[string(f.name)]; ok { // in its spelling here, so that nothing is allocated
			continue
		}
		if len(c.known) >= maxColumns {
			c.more = true
			return
		}
		name := f.text()
		at := slices.Index(c.names, name)
		if at < 0 {
			at = len(c.names)
			c.names = append(c.names, name)
		}
		c.known[string(f.name)] = at
	}
}

// Names returns the names, of at most 10,000 columns.
func (c *Columns) Names() []string { return slices.Clone(c.names) }

// Kept returns the names as they are kept with a run, or none where they are too many.
func (c *Columns) Kept() []string {
	if c.more || len(strings.Join(c.names, "")) > maxKeptBytes {
		return nil
	}
	return c.Names()
}

// splitList splits the value of a flag at its commas. An entry that holds one, or begins with a
// quote, stands in quotes, in which a quote is written twice.
func splitList(flag, list string) (names []string, err error) {
	if strings.TrimSpace(list) == "" {
		return nil, nil
	}
	for rest, more := list, true; more; {
		var name string
		rest = strings.TrimLeft(rest, " ")
		if quoted, ok := strings.CutPrefix(rest, `"`); ok {
			if name, rest, ok = cutQuoted(quoted); !ok {
				return nil, fmt.Errorf(`%s %s: a quote is not closed: put a name with a comma in quotes: '"a, b",c'`, flag, list)
			}
			_, rest, more = strings.Cut(rest, ",")
		} else {
			name, rest, more = strings.Cut(rest, ",")
			name = strings.TrimRight(name, " ")
		}
		if name == "" {
			return nil, fmt.Errorf("%s %s: entry %d is empty", flag, list, len(names)+1)
		}
		names = append(names, name)
	}
	return names, nil
}

// cutQuoted returns what stands in front of the quote that closes, and what stands after it.
func cutQuoted(text string) (name, rest string, ok bool) {
	for {
		i := strings.IndexByte(text, '"')
		if i < 0 {
			return "", "", false
		}
		name += text[:i]
		if text = text[i+1:]; !strings.HasPrefix(text, `"`) {
			return name, text, true
		}
		name, text = name+`"`, text[1:]
	}
}

// listEntry returns a name as splitList reads it.
func listEntry(name string) string {
	if strings.ContainsAny(name, `,"`) || strings.TrimSpace(name) != name {
		return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
	}
	return name
}

// A selection is what --columns says of the row's columns.
type selection struct {
	only    []string          // those that are kept, in this order; empty: all
	others  bool              // * was among them: all are kept, in the row's order
	dropped []string          // those that are left out
	renamed map[string]string // old to new
}

// parseSelection reads the value of --columns for rows with these columns. Ours are the columns
// that Gleaner adds, which have flags of their own.
func parseSelection(list string, columns []string, ours map[string]string) (selection, error) {
	s := selection{renamed: map[string]string{}}
	entries, err := splitList("--columns", list)
	if err != nil {
		return s, err
	}
	for _, entry := range entries {
		from, to, remove := splitEntry(entry, columns)
		switch {
		case entry == "*" && !slices.Contains(columns, "*"):
			s.others = true
			continue
		case !slices.Contains(columns, from):
			flag, mine := ours[from]
			if mine && !remove && to == "" {
				continue // it is written anyway
			}
			if mine {
				return s, fmt.Errorf("--columns %s: %q is not a column of the rows but Gleaner's: use %s", list, from, flag)
			}
			return s, fmt.Errorf("--columns %s: the rows have no column %q: there are %s", list, from, listed(columns))
		case slices.Contains(s.only, from) || slices.Contains(s.dropped, from):
			return s, fmt.Errorf("--columns %s: the column %q stands there twice", list, from)
		case remove:
			s.dropped = append(s.dropped, from)
			continue
		}
		s.only = append(s.only, from)
		if to != "" && to != from {
			s.renamed[from] = to
		}
	}
	return s, s.clash(list, columns)
}

// splitEntry reads one entry: a column, old=new, or -column. A name that is a column as a whole is
// that column.
func splitEntry(entry string, columns []string) (from, to string, remove bool) {
	if slices.Contains(columns, entry) {
		return entry, "", false
	}
	if rest, ok := strings.CutPrefix(entry, "-"); ok {
		return rest, "", true
	}
	for i := range len(entry) { // a name may hold = itself
		if entry[i] == '=' && slices.Contains(columns, entry[:i]) && i+1 < len(entry) {
			return entry[:i], entry[i+1:], false
		}
	}
	from, to, _ = strings.Cut(entry, "=")
	return from, to, false
}

// clash returns an error if two columns would have one name.
func (s selection) clash(list string, columns []string) error {
	names := s.names(columns)
	slices.Sort(names)
	for i := 1; i < len(names); i++ {
		if names[i] == names[i-1] {
			return fmt.Errorf("--columns %s: two columns would be called %q", list, names[i])
		}
	}
	return nil
}

// keeps reports whether a column of the rows is written.
func (s selection) keeps(column string) bool {
	if slices.Contains(s.dropped, column) {
		return false
	}
	return len(s.only) == 0 || s.others || slices.Contains(s.only, column)
}

// names returns the names under which columns are written.
func (s selection) names(columns []string) (names []string) {
	for _, column := range columns {
		if !s.keeps(column) {
			continue
		}
		if to, ok := s.renamed[column]; ok {
			column = to
		}
		names = append(names, column)
	}
	return names
}

// listed names columns for a message, the first 20.
func listed(columns []string) string {
	if len(columns) == 0 {
		return "none"
	}
	const most = 20
	quoted := make([]string, 0, most+1)
	for i, column := range columns {
		if i == most {
			quoted = append(quoted, fmt.Sprintf("and %d more", len(columns)-most))
			break
		}
		quoted = append(quoted, fmt.Sprintf("%.60q", column))
	}
	return strings.Join(quoted, ", ")
}
