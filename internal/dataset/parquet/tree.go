package parquet

import (
	"fmt"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go/format"
)

// maxLevels bounds the nesting of a file, and so the recursion over it.
const maxLevels = 64

// The kinds of nodes.
const (
	leafNode = iota
	structNode
	listNode
	mapNode
)

// A node is a value as a reader of JSON sees it: what the format needs between a list and its
// elements is no node.
type node struct {
	kind        int
	name        string
	key         []byte // `"name":` in an object
	optional    bool
	def         int // the level from which on it is not null
	elementDef  int // of lists and maps: the level from which on it has an element
	rep         int // of lists and maps: the level at which a further element begins
	children    []*node
	first, last int // its leaves are the columns first to last-1
	column      *column
	write       appender
}

// A builder makes the tree from the list of the schema.
type builder struct {
	schema []element
	next   int
	leaves []*column
}

// buildTree returns the root, whose children are the columns of the file, and all leaves.
func buildTree(schema []element) (*node, []*column, error) {
	if len(schema) == 0 {
		return nil, nil, fmt.Errorf("it has no schema, so it is damaged: get it again")
	}
	b := &builder{schema: schema}
	root := schema[0]
	root.repetition, root.logical = format.Required, annotation{id: none}
	b.schema[0] = root
	n, err := b.build(0, 0, "", 0)
	if err != nil {
		return nil, nil, err
	}
	if n.kind != structNode || b.next != len(schema) {
		return nil, nil, fmt.Errorf("its schema does not fit together, so it is damaged: get it again")
	}
	return n, b.leaves, nil
}

// build makes the node of the next element, which has a path and stands below def and rep.
func (b *builder) build(def, rep int, path string, depth int) (*node, error) {
	if b.next >= len(b.schema) || depth > maxLevels {
		return nil, fmt.Errorf("its schema ends too early or nests deeper than %d levels", maxLevels)
	}
	e := b.schema[b.next]
	b.next++
	if !utf8.ValidString(e.name) {
		return nil, fmt.Errorf("the name of its column %q is no UTF-8: rename the column", e.name)
	}
	n := &node{name: e.name, first: len(b.leaves)}
	n.key = append(appendString(nil, []byte(e.name)), ':')
	if e.repetition == format.Repeated { // a list of old writers, with nothing around it
		list := &node{kind: listNode, name: n.name, key: n.key, def: def, elementDef: def + 1, rep: rep + 1, first: n.first}
		err := b.fill(n, e, level{def + 1, rep + 1, depth}, path)
		list.children, list.last = []*node{n}, len(b.leaves)
		return list, err
	}
	if n.optional = e.repetition == format.Optional; n.optional {
		def++
	}
	err := b.fill(n, e, level{def, rep, depth}, path)
	return n, err
}

// A level is where in the nesting a node stands.
type level struct{ def, rep, depth int }

// fill makes what is inside of a node.
func (b *builder) fill(n *node, e element, at level, path string) (err error) {
	n.def = at.def
	defer func() { n.last = len(b.leaves) }()
	switch {
	case e.children == 0 && e.kind != none:
		return b.leaf(n, e, at, path)
	case e.children <= 0 || e.children > int64(len(b.schema)-b.next):
		return fmt.Errorf("its column %q is a struct with %d fields, which cannot be read: write the file without it", path, e.children)
	case e.logical.id == logicalVariant:
		return fmt.Errorf("its column %q is of type VARIANT, which is not read: write it as text, as by DuckDB's CAST(%s AS JSON)", path, path)
	case e.logical.id == logicalList && e.children == 1 && b.schema[b.next].repetition == format.Repeated:
		return b.list(n, e, at, path)
	case e.logical.id == logicalMap && e.children == 1 && b.schema[b.next].repetition == format.Repeated && b.schema[b.next].children > 0:
		return b.pairs(n, at, path)
	}
	n.kind = structNode
	return b.fields(n, e, at, path)
}

func (b *builder) fields(n *node, e element, at level, path string) error {
	seen := map[string]bool{}
	for range e.children {
		if b.next >= len(b.schema) {
			return fmt.Errorf("its schema ends too early, so it is damaged: get it again")
		}
		child, err := b.build(at.def, at.rep, join(path, b.schema[b.next].name), at.depth+1)
		if err != nil {
			return err
		}
		if seen[child.name] {
			return fmt.Errorf("it has two columns that are called %q: rename one", join(path, child.name))
		}
		seen[child.name] = true
		n.children = append(n.children, child)
	}
	return nil
}

// list reads what the annotation LIST stands for: today a repeated group with one element in it,
// in old files the element itself, repeated.
func (b *builder) list(n *node, e element, at level, path string) error {
	n.kind, n.elementDef, n.rep = listNode, at.def+1, at.rep+1
	inner := level{at.def + 1, at.rep + 1, at.depth + 1}
	repeated := b.schema[b.next]
	var element *node
	var err error
	if b.isElement(repeated, e.name) {
		b.next++
		element = &node{name: repeated.name, first: len(b.leaves)}
		err = b.fill(element, repeated, inner, path+"[]")
	} else {
		b.next++
		element, err = b.build(inner.def, inner.rep, path+"[]", at.depth+2)
	}
	n.children = []*node{element}
	return err
}

// isElement says whether the repeated node of a list is its element, as the format's rules for old
// files have it.
func (b *builder) isElement(repeated element, list string) bool {
	if repeated.children != 1 || b.next+1 >= len(b.schema) {
		return true
	}
	inner := b.schema[b.next+1]
	return repeated.name == "array" || repeated.name == list+"_tuple" ||
		repeated.logical.id == logicalList || repeated.logical.id == logicalMap || inner.repetition == format.Repeated
}

// pairs reads a map: an object where its keys are texts, else a list of objects with key and value.
func (b *builder) pairs(n *node, at level, path string) error {
	repeated := b.schema[b.next]
	b.next++
	repeated.logical = annotation{id: none}
	pair := &node{name: repeated.name, first: len(b.leaves)}
	if err := b.fill(pair, repeated, level{at.def + 1, at.rep + 1, at.depth + 1}, path); err != nil {
		return err
	}
	n.kind, n.elementDef, n.rep = listNode, at.def+1, at.rep+1
	n.children = []*node{pair}
	if len(pair.children) == 2 {
		for i, name := range []string{"key", "value"} {
			pair.children[i].key = append(appendString(nil, []byte(name)), ':')
		}
		if key := pair.children[0]; key.kind == leafNode && !key.optional && key.column.isText {
			n.kind = mapNode
		}
	}
	return nil
}

func (b *builder) leaf(n *node, e element, at level, path string) error {
	if len(b.leaves) >= maxLeaves {
		return fmt.Errorf("it has more than %d columns: write fewer", maxLeaves)
	}
	c := &column{path: path, kind: format.Type(e.kind), maxRep: at.rep, maxDef: at.def}
	switch c.kind {
	case format.Boolean:
		c.width = 1 // as a page's values are kept here
	case format.Int32, format.Float:
		c.width = 4
	case format.Int64, format.Double:
		c.width = 8
	case format.Int96:
		c.width = 12
	case format.ByteArray:
	case format.FixedLenByteArray:
		if e.length <= 0 || e.length > maxPageBytes {
			return fmt.Errorf("its column %q has values of %d bytes, so it is damaged: get it again", path, e.length)
		}
		c.width = int(e.length)
	default:
		return fmt.Errorf("its column %q is of the type %d, which is not known: write the file again with pyarrow", path, e.kind)
	}
	var err error
	if n.write, err = appenderOf(e, c.width); err != nil {
		return fmt.Errorf("its column %q: %w", path, err)
	}
	c.isText = e.kind == int(format.ByteArray) && (e.logical.id == logicalString || e.logical.id == logicalEnum)
	n.column = c
	b.leaves = append(b.leaves, c)
	return nil
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
