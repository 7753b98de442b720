package parquet

import (
	"fmt"
	"math/bits"
)

const (
	maxTextDepth   = 20   // objects and arrays below it become JSON text
	maxKeys        = 1000 // an object with more different keys is a map, and becomes JSON text
	maxFields      = 10_000
	maxFieldsBytes = 16 << 20 // of the names of all fields together
)

// What a value of a column was, besides the numbers of number.go.
const (
	isBool = 1 << (iota + 8)
	isText
	isList
	isObject
)

// A shape is what the values of a column, or of the elements of a list, were so far.
type shape struct {
	name   string
	flags  int
	opaque string // why it becomes JSON text whatever else comes
	depth  int
	seen   int64 // the object in which its name stood last

	element *shape
	fields  []*shape // in the order in which they came
	byName  map[string]*shape
}

// A Schema finds the type of each column: one for the whole file, so it has to see every row
// before the first is written. It needs memory for the names of the columns, not for the rows.
//
// A column is of type bool, int64, uint64 (where a number needs it and none is negative), double
// (numbers with and without a point, where it changes none of them), string, list or struct. It
// becomes JSON text, a string with the values as they are written in the rows, where its values
// are of different types, where numbers are too large or too precise, where all objects are empty
// or have more than 1,000 different keys, and below 20 levels of nesting. A column that is always
// null is of type string. The zero Schema is ready.
type Schema struct {
	root    shape
	rows    int64
	objects int64
	fields  int
	bytes   int
}

// Observe takes note of a row, which is a JSON object. An error says why the row cannot be written:
// it is no object, has a name twice, or the rows have more than 10,000 columns together.
func (s *Schema) Observe(row []byte) error {
	if _, err := scanRow(row); err != nil {
		return err
	}
	return s.ObserveValid(row)
}

// ObserveValid is Observe for what is known to be a JSON object, such as a row that was just put
// together.
func (s *Schema) ObserveValid(row []byte) error {
	scan := scanner{data: row}
	if scan.kind() != '{' {
		return fmt.Errorf("the row %.100q is no JSON object", row)
	}
	s.rows++
	s.root.flags |= isObject
	return s.object(&s.root, &scan)
}

// Rows returns how many rows were observed.
func (s *Schema) Rows() int64 { return s.rows }

func (s *Schema) value(n *shape, scan *scanner) error {
	if n.opaque != "" {
		scan.skip()
		return nil
	}
	switch scan.kind() {
	case 'n':
		scan.scalar()
	case 't', 'f':
		scan.scalar()
		n.flags |= isBool
	case '"':
		scan.text()
		n.flags |= isText
	case '[':
		n.flags |= isList
		if s.close(n) {
			scan.skip()
			return nil
		}
		if n.element == nil {
			n.element = &shape{depth: n.depth + 1}
		}
		for scan.enter(); scan.more(); {
			if err := s.value(n.element, scan); err != nil {
				return err
			}
		}
	case '{':
		n.flags |= isObject
		if s.close(n) {
			scan.skip()
			return nil
		}
		return s.object(n, scan)
	default:
		n.flags |= classify(scan.scalar())
	}
	s.close(n)
	return nil
}

// close settles that a shape becomes JSON text, as soon as that is certain, and forgets its inside.
func (s *Schema) close(n *shape) bool {
	if n.opaque != "" {
		return true
	}
	switch {
	case n.depth > maxTextDepth && n.flags&(isList|isObject) != 0:
		n.opaque = fmt.Sprintf("nested deeper than %d levels", maxTextDepth)
	case n.kinds() > 1:
		n.opaque = mixed
	default:
		return false
	}
	s.forget(n)
	return true
}

// forget drops the inside of a shape, whose names then count no more.
func (s *Schema) forget(n *shape) {
	if n.element != nil {
		s.forget(n.element)
	}
	for _, f := range n.fields {
		s.fields--
		s.bytes -= len(f.name)
		s.forget(f)
	}
	n.element, n.fields, n.byName = nil, nil, nil
}

const mixed = "values of different types"

// kinds counts the types of values there were, where numbers are one.
func (n *shape) kinds() int {
	flags := n.flags &^ numberFlags
	if n.flags&numberFlags != 0 {
		flags |= isInt
	}
	return bits.OnesCount(uint(flags))
}

func (s *Schema) object(n *shape, scan *scanner) error {
	s.objects++
	object := s.objects
	i := 0
	for scan.enter(); scan.more(); i++ {
		name := scan.key()
		field, err := s.field(n, name, i)
		if err != nil {
			return err
		}
		if field == nil { // the object has become JSON text
			scan.skip()
			for scan.more() {
				scan.key()
				scan.skip()
			}
			return nil
		}
		if field.seen == object {
			return fmt.Errorf("the name %.100q stands twice in one object: rename or remove one", field.name)
		}
		field.seen = object
		if err := s.value(field, scan); err != nil {
			return err
		}
	}
	return nil
}

// field returns the shape of a member, which most often stands where it stood in the row before.
func (s *Schema) field(n *shape, written []byte, i int) (*shape, error) {
	if i < len(n.fields) && n.fields[i].name == string(written) {
		return n.fields[i], nil
	}
	name := unquoted(written)
	if f := n.byName[name]; f != nil {
		return f, nil
	}
	full := s.fields == maxFields || s.bytes+len(name) > maxFieldsBytes
	switch {
	case n == &s.root && full:
		return nil, fmt.Errorf("the rows have more than %d columns, or names of more than %d bytes together: write fewer columns", maxFields, maxFieldsBytes)
	case n != &s.root && (full || len(n.fields) == maxKeys):
		n.opaque = fmt.Sprintf("objects with more than %d different keys", maxKeys)
		s.forget(n)
		return nil, nil
	}
	s.fields++
	s.bytes += len(name)
	f := &shape{name: name, depth: n.depth + 1}
	if n.byName == nil {
		n.byName = map[string]*shape{}
	}
	n.fields = append(n.fields, f)
	n.byName[name] = f
	return f, nil
}

// A TextColumn is a column that becomes JSON text, and why.
type TextColumn struct {
	Path string // names are joined by points, [] stands for the elements of a list
	Why  string
}

// Texts returns the columns that become JSON text, in their order.
func (s *Schema) Texts() []TextColumn { return s.root.texts("", nil) }

// Mixed returns the paths of those columns that become JSON text because their values are of
// different types, or are numbers that no type can hold together.
func (s *Schema) Mixed() []string {
	var paths []string
	for _, t := range s.Texts() {
		if t.Why == mixed || t.Why == unbounded {
			paths = append(paths, t.Path)
		}
	}
	return paths
}

const unbounded = "numbers that would change in one type"

func (n *shape) texts(path string, all []TextColumn) []TextColumn {
	if why := n.isJSON(); why != "" && n.depth > 0 {
		return append(all, TextColumn{path, why})
	}
	if n.element != nil {
		all = n.element.texts(path+"[]", all)
	}
	for _, f := range n.fields {
		below := f.name
		if n.depth > 0 {
			below = path + "." + f.name
		}
		all = f.texts(below, all)
	}
	return all
}

// isJSON says why a shape becomes JSON text, or nothing.
func (n *shape) isJSON() string {
	switch {
	case n.opaque != "":
		return n.opaque
	case n.flags&numberFlags != 0 && n.number() == 0:
		return unbounded
	case n.flags&isObject != 0 && len(n.fields) == 0:
		return "objects without keys"
	}
	return ""
}

// number returns the one type for all numbers: isInt, isUint, isFloat, or 0 if there is none.
func (n *shape) number() int {
	switch {
	case n.flags&isUnbounded != 0:
		return 0
	case n.flags&isFloat != 0:
		if n.flags&isInexact != 0 {
			return 0
		}
		return isFloat
	case n.flags&isUint == 0:
		return isInt
	case n.flags&isNegative != 0:
		return 0
	}
	return isUint
}
