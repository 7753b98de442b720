package jinja

import "slices"

// A kind of node says what the node calculates.
type kind int

const (
	literal   kind = iota // value
	name                  // name
	attribute             // kids[0].name
	item                  // kids[0][kids[1]]
	slice                 // kids[0][kids[1]:kids[2]:kids[3]], of which the last three may be nil
	callOf                // kids[0](kids[1:], named)
	filterOf              // kids[0]|name(kids[1:], named)
	testOf                // kids[0] is name(kids[1:], named)
	not                   // not kids[0]
	minus                 // -kids[0]
	plus                  // +kids[0]
	binary                // kids[0] name kids[1]
	compared              // kids[0] ops[0] kids[1] ops[1] kids[2] …
	and                   // kids[0] and kids[1]
	or                    // kids[0] or kids[1]
	concat                // kids[0] ~ kids[1] ~ …
	condition             // kids[1] if kids[0] else kids[2], which may be nil
	listOf                // [kids …]
	dictOf                // {kids[0]: kids[1], …}
)

// A node is an expression.
type node struct {
	kind   kind
	offset int // in the template
	name   string
	value  value
	kids   []*node
	ops    []string
	named  []namedNode
	path   string // of an attribute below a name: the names with dots, as a column may be called
}

type namedNode struct {
	name string
	node *node
}

// all calls f for a node and everything below it.
func (n *node) all(f func(*node)) {
	if n == nil {
		return
	}
	f(n)
	for _, kid := range n.kids {
		kid.all(f)
	}
	for _, arg := range n.named {
		arg.node.all(f)
	}
}

// root returns the name below which a path of attributes lies, or nothing.
func (n *node) root() string {
	for n.kind == attribute {
		n = n.kids[0]
	}
	if n.kind == name {
		return n.name
	}
	return ""
}

// A verb says what a step of a template does.
type verb int

const (
	writeText  verb = iota // text
	writeValue             // exprs[0]
	choose                 // bodies[i] of the first exprs[i] that is true, else the last of more bodies
	loop                   // names in exprs[0] [if exprs[1]]: bodies[0], else bodies[1]
	assign                 // names = exprs[0], or the namespace's attribute
	capture                // names[0] = what bodies[0] writes, through the filters of exprs[0]
	with                   // names[i] = exprs[i]: bodies[0]
	define                 // a macro
	callBlock              // exprs[0] with bodies[0] as caller
	through                // what bodies[0] writes, through the filters of exprs[0]
	evaluate               // exprs[0], for what it does
	leave                  // break
	proceed                // continue
	section                // bodies[0]
)

// A step is a part of a template that is done at once.
type step struct {
	verb      verb
	offset    int
	text      string
	name      string // of a macro, or the attribute of a namespace that is set
	names     []string
	exprs     []*node
	bodies    [][]*step
	uses      []string // of caller, varargs and kwargs: those that a macro uses
	recursive bool
}

// allSteps calls f for steps and everything below them.
func allSteps(steps []*step, f func(*step)) {
	for _, s := range steps {
		f(s)
		for _, body := range s.bodies {
			allSteps(body, f)
		}
	}
}

// usedOf returns which of some names steps use.
func usedOf(bodies [][]*step, words ...string) (used []string) {
	for _, body := range bodies {
		allSteps(body, func(p *step) {
			for _, expr := range p.exprs {
				expr.all(func(n *node) {
					if n.kind == name && slices.Contains(words, n.name) && !slices.Contains(used, n.name) {
						used = append(used, n.name)
					}
				})
			}
		})
	}
	return used
}
