package parquet

import (
	"fmt"
	"reflect"

	pq "github.com/parquet-go/parquet-go"
)

// The types of columns that are written.
const (
	planText = iota // JSON, as it is written
	planString
	planBool
	planInt
	planUint
	planFloat
	planList
	planStruct
)

// A plan says how a value is written. All values may be null.
type plan struct {
	kind   int
	name   string
	path   string
	def    int // the level of a value that is not null
	rep    int // of lists: the level of a further element
	column int // of leaves
	first  int // its leaves are the columns first to last-1
	last   int

	element *plan
	fields  []*plan
	byName  map[string]*plan
	seen    int64 // the object in which its name stood last
}

// planner numbers the leaves.
type planner struct{ leaves int }

// plan makes the plan of a shape that stands below def and rep.
func (p *planner) plan(n *shape, path string, def, rep int) *plan {
	out := &plan{name: n.name, path: path, def: def + 1, rep: rep, first: p.leaves, kind: n.plan()}
	switch out.kind {
	case planList:
		out.rep = rep + 1
		out.element = p.plan(n.element, path+"[]", def+2, rep+1)
	case planStruct:
		p.fields(out, n)
	default:
		out.column = p.leaves
		p.leaves++
	}
	out.last = p.leaves
	return out
}

func (p *planner) fields(out *plan, n *shape) {
	out.byName = map[string]*plan{}
	for _, f := range n.fields {
		path := f.name
		if n.depth > 0 {
			path = out.path + "." + f.name
		}
		child := p.plan(f, path, out.def, out.rep)
		out.fields = append(out.fields, child)
		out.byName[f.name] = child
	}
}

// plan chooses the type.
func (n *shape) plan() int {
	switch {
	case n.isJSON() != "":
		return planText
	case n.flags&isBool != 0:
		return planBool
	case n.flags&isList != 0:
		return planList
	case n.flags&isObject != 0:
		return planStruct
	case n.flags&numberFlags == 0:
		return planString
	}
	switch n.number() {
	case isInt:
		return planInt
	case isUint:
		return planUint
	}
	return planFloat
}

// node returns the library's form of a plan.
func (p *plan) node() pq.Node {
	switch p.kind {
	case planBool:
		return pq.Optional(pq.Leaf(pq.BooleanType))
	case planInt:
		return pq.Optional(pq.Int(64))
	case planUint:
		return pq.Optional(pq.Uint(64))
	case planFloat:
		return pq.Optional(pq.Leaf(pq.DoubleType))
	case planList:
		return pq.Optional(pq.List(p.element.node()))
	case planStruct:
		return pq.Optional(p.group())
	}
	return pq.Optional(pq.Encoded(pq.String(), &pq.Plain))
}

// A group is a struct whose fields keep their order; the library's own sorts them by name.
type group struct {
	pq.Group
	fields []pq.Field
}

func (g group) Fields() []pq.Field { return g.fields }

// GoType is asked for by the library, and used where rows are Go values, which they are not here.
func (g group) GoType() reflect.Type { return reflect.TypeFor[map[string]any]() }

func (g group) String() string { return fmt.Sprintf("a group of %d fields", len(g.fields)) }

func (p *plan) group() pq.Node {
	g := group{Group: pq.Group{}}
	for _, f := range p.fields {
		g.fields = append(g.fields, member{f.node(), f.name})
	}
	return g
}

// A member is a field of a group.
type member struct {
	pq.Node
	name string
}

// Name returns the name of the field.
func (m member) Name() string { return m.name }

// Value is for rows that are Go values, which they are not here.
func (m member) Value(base reflect.Value) reflect.Value {
	return base.MapIndex(reflect.ValueOf(m.name))
}
