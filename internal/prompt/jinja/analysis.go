package jinja

import (
	"maps"
	"slices"
	"strings"
)

// An analysis is what a template uses, as far as its text says.
type analysis struct {
	tables *tables
	vars   map[string]value
	bound  map[string]bool     // names that the template sets anywhere
	free   map[string]bool     // names and paths that rows or vars have to have
	whole  bool                // of the row, all columns
	calls  map[string][]string // of macros: which they call
	macros []*step
}

// analyse looks through the steps of a template and refuses what can be known to be wrong.
func analyse(steps []*step, t *tables, vars map[string]value) (*analysis, error) {
	a := &analysis{tables: t, vars: vars, bound: map[string]bool{}, free: map[string]bool{}, calls: map[string][]string{}}
	allSteps(steps, func(p *step) {
		for _, name := range p.names {
			a.bound[name] = true
		}
		if p.verb == define {
			a.bound[p.name] = true
			a.macros = append(a.macros, p)
		}
	})
	for _, name := range []string{"loop", "caller", "varargs", "kwargs"} {
		a.bound[name] = true
	}
	if err := outsideLoops(steps, false); err != nil {
		return nil, err
	}
	var failed error
	allSteps(steps, func(p *step) {
		for _, expr := range p.exprs {
			expr.all(func(n *node) {
				if failed == nil {
					failed = at(n.offset, a.check(n))
				}
			})
		}
	})
	if failed != nil {
		return nil, failed
	}
	if err := a.recursion(); err != nil {
		return nil, err
	}
	a.steps(steps, (*names)(nil).inside())
	return a, nil
}

// outsideLoops refuses break and continue where there is nothing to leave.
func outsideLoops(steps []*step, inLoop bool) error {
	for _, p := range steps {
		if (p.verb == leave || p.verb == proceed) && !inLoop {
			return fail(p.offset, "break and continue stand in loops only // write {%% for … %%} around them")
		}
		for i, body := range p.bodies {
			inside := inLoop && p.verb != define && p.verb != callBlock && p.verb != capture && p.verb != through
			if err := outsideLoops(body, inside || p.verb == loop && i == 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// check looks up what an expression calls.
func (a *analysis) check(n *node) error {
	var names []string
	for _, arg := range n.named {
		names = append(names, arg.name)
	}
	switch n.kind {
	case filterOf:
		return a.checkFilter(n, names)
	case testOf:
		h, ok := a.tables.tests[n.name]
		if !ok {
			return unknownName("test", n.name, a.tables.tests)
		}
		return h.check("is "+n.name, len(n.kids)-1, names)
	case callOf:
		return a.checkCall(n.kids[0])
	case binary:
		if left := n.kids[0]; n.name == "%" && left.kind == literal {
			if _, ok := left.value.(string); ok {
				_, err := arithmetic(&budget{}, "%", left.value, int64(1))
				return err
			}
		}
	}
	return nil
}

func (a *analysis) checkFilter(n *node, names []string) error {
	h, ok := a.tables.filters[n.name]
	if !ok {
		if why, refused := refusedNames()[n.name]; refused {
			return problem("|%s is not there // %s", n.name, why)
		}
		return unknownName("filter", n.name, a.tables.filters)
	}
	if err := h.check("|"+n.name, len(n.kids)-1, names); err != nil {
		return err
	}
	at, table, what := 1, a.tables.tests, "test"
	switch n.name {
	case "map":
		table, what = a.tables.filters, "filter"
	case "select", "reject":
	case "selectattr", "rejectattr":
		at = 2
	default:
		return nil
	}
	if len(n.kids) > at {
		if name, ok := n.kids[at].value.(string); ok && n.kids[at].kind == literal {
			if _, known := table[name]; !known {
				return unknownName(what, name, table)
			}
		}
	}
	return nil
}

func (a *analysis) checkCall(target *node) error {
	switch target.kind {
	case name:
		if a.bound[target.name] || a.tables.functions[target.name] != nil {
			return nil
		}
		if why, refused := refusedNames()[target.name]; refused {
			return problem("the function %s is not there // %s", target.name, why)
		}
		known := slices.Sorted(maps.Keys(a.tables.functions))
		for _, p := range a.macros {
			if p.name != "caller" {
				known = append(known, p.name)
			}
		}
		if _, isFilter := a.tables.filters[target.name]; isFilter {
			return problem("there is no function %s // it is a filter: write x|%s", target.name, target.name)
		}
		if near := nearest(target.name, known); near != "" {
			return problem("there is no function %s // did you mean %s?", target.name, near)
		}
		return problem("there is no function %s // the functions are %s; a column is shown by {{ %s }} without brackets", target.name, strings.Join(known, ", "), target.name)
	case attribute:
		if a.bound[target.root()] {
			return nil // its attributes may be macros
		}
		known := []string{"cycle", "changed", "next", "reset"}
		for _, table := range []map[string]handler{a.tables.textMethods, a.tables.listMethods, a.tables.dictMethods} {
			known = append(known, sortedNames(table)...)
		}
		if slices.Contains(known, target.name) {
			return nil
		}
		if near := nearest(target.name, known); near != "" {
			return problem("there is no method %s // did you mean .%s()?", target.name, near)
		}
		return problem("there is no method %s // a filter is written x|%s, and an attribute without brackets", target.name, target.name)
	}
	return nil
}

// recursion refuses macros that call themselves, also through others.
func (a *analysis) recursion() error {
	for _, p := range a.macros {
		allSteps(p.bodies[0], func(inner *step) {
			for _, expr := range inner.exprs {
				expr.all(func(n *node) {
					if n.kind == callOf && n.kids[0].kind == name {
						a.calls[p.name] = append(a.calls[p.name], n.kids[0].name)
					}
				})
			}
		})
	}
	done := map[string]bool{} // false: on the way
	var visit func(name string) bool
	visit = func(name string) bool {
		finished, seen := done[name]
		if seen {
			return finished
		}
		done[name] = false
		for _, next := range a.calls[name] {
			if next != "caller" && !visit(next) {
				return false
			}
		}
		done[name] = true
		return true
	}
	for _, p := range a.macros {
		if p.name != "caller" && !visit(p.name) {
			return fail(p.offset, "the macro %s calls itself, or one that it calls does // write a loop, or {%% for … recursive %%} with {{ loop(x.children) }}", p.name)
		}
	}
	return nil
}

// Names are those that a part of a template sets, with those around it.
type names struct {
	outer *names
	set   map[string]bool
}

func (n *names) has(name string) bool {
	for ; n != nil; n = n.outer {
		if n.set[name] {
			return true
		}
	}
	return false
}

func (n *names) add(all ...string) {
	for _, name := range all {
		n.set[name] = true
	}
}

// inside returns the names of a part within, with some more.
func (n *names) inside(all ...string) *names {
	inner := &names{outer: n, set: map[string]bool{}}
	inner.add(all...)
	return inner
}

// steps collects the names that steps take from outside; bound are those that are set.
func (a *analysis) steps(steps []*step, bound *names) {
	for _, p := range steps {
		if p.verb != define {
			for i, expr := range p.exprs {
				if p.verb == loop && i == 1 {
					a.expr(expr, bound.inside(p.names...))
				} else {
					a.expr(expr, bound)
				}
			}
		}
		switch p.verb {
		case assign:
			if p.name == "" {
				bound.add(p.names...)
			}
		case define:
			bound.add(p.name)
			inner := bound.inside(append([]string{"varargs", "kwargs", "caller"}, p.names...)...)
			for _, expr := range p.exprs {
				a.expr(expr, inner)
			}
			a.steps(p.bodies[0], inner)
		case loop:
			for i, body := range p.bodies {
				inner := bound.inside()
				if i == 0 {
					inner = bound.inside(append([]string{"loop"}, p.names...)...)
				}
				a.steps(body, inner)
			}
		case with:
			a.steps(p.bodies[0], bound.inside(p.names...))
		default:
			for _, body := range p.bodies {
				a.steps(body, bound.inside())
			}
		}
		if p.verb == capture {
			bound.add(p.names...)
		}
	}
}

// expr collects the names that an expression takes from outside.
func (a *analysis) expr(n *node, bound *names) {
	if n == nil {
		return
	}
	kids := n.kids
	switch root := n.root(); {
	case n.kind == callOf && n.kids[0].kind == name && (bound.has(n.kids[0].name) || a.tables.functions[n.kids[0].name] != nil):
		kids = kids[1:]
	case n.kind == callOf && n.kids[0].kind == attribute && isRow(n.kids[0].kids[0], bound) && n.kids[0].name == "get" && len(kids) > 1:
		a.rowKey(kids[1])
		kids = kids[1:]
	case n.kind == callOf && n.kids[0].kind == attribute && n.kids[0].kids[0].root() != "": // the last name is a method
		a.expr(n.kids[0].kids[0], bound)
		kids = kids[1:]
	case n.kind == item && isRow(kids[0], bound):
		a.rowKey(kids[1])
		kids = kids[1:]
	case isRow(n, bound):
		a.whole, a.free["row"] = true, true
	case n.kind == attribute && root == "row" && !bound.has("row"):
		column, _, _ := strings.Cut(strings.TrimPrefix(n.path, "row."), ".")
		a.free[exactly+column], a.free[n.path] = true, true // a column row beats the whole row
		return
	case root != "" && !bound.has(root):
		if n.kind == name {
			a.free[n.name] = true
		} else {
			a.free[n.path] = true
		}
		return
	case root != "":
		return
	}
	for _, kid := range kids {
		a.expr(kid, bound)
	}
	for _, arg := range n.named {
		a.expr(arg.node, bound)
	}
}

func isRow(n *node, bound *names) bool {
	return n.kind == name && n.name == "row" && !bound.has("row")
}

// rowKey notes row[key].
func (a *analysis) rowKey(key *node) {
	a.free["row"] = true
	if text, ok := key.value.(string); ok && key.kind == literal {
		a.free[exactly+text] = true
		return
	}
	a.whole = true
}

// exactly is before a name that is a column's as it stands, and no path.
const exactly = "\x00"
