package jinja

import (
	"strings"
)

// eval calculates an expression. An error has its place in the template.
func (s *state) eval(n *node) (value, error) {
	if err := s.look(1); err != nil {
		return nil, at(n.offset, err)
	}
	v, err := s.calculate(n)
	if err != nil {
		return nil, at(n.offset, err)
	}
	return v, nil
}

func (s *state) calculate(n *node) (value, error) {
	switch n.kind {
	case literal:
		return n.value, nil
	case name:
		return s.lookup(n.name)
	case attribute:
		if v, ok, err := s.pathColumn(n); ok || err != nil {
			return v, err
		}
		target, err := s.eval(n.kids[0])
		if err != nil {
			return nil, err
		}
		return s.ofRow(target, n.name, attributeOf(target, n.name)), nil
	case item, slice:
		return s.part(n)
	case callOf:
		return s.call(n)
	case filterOf:
		return s.filter(n)
	case testOf:
		ok, err := s.test(n)
		return ok, err
	case and, or, condition, not:
		return s.decide(n)
	case listOf:
		items, err := s.evalAll(n.kids)
		if err != nil {
			return nil, err
		}
		return newList(items), s.make(len(items))
	case dictOf:
		return s.dict(n)
	case concat:
		return s.concat(n)
	}
	return s.operate(n)
}

// operate does signs, arithmetic and comparisons.
func (s *state) operate(n *node) (value, error) {
	left, err := s.eval(n.kids[0])
	if err != nil {
		return nil, err
	}
	switch n.kind {
	case minus:
		return negative(left)
	case plus:
		if _, ok := float(left); !ok {
			return nil, mismatch("+", int64(0), left)
		}
		return left, defined(left)
	case compared:
		return s.compare(n, left)
	}
	right, err := s.eval(n.kids[1])
	if err != nil {
		return nil, err
	}
	return arithmetic(&s.budget, n.name, left, right)
}

func (s *state) evalAll(kids []*node) ([]value, error) {
	all := make([]value, 0, len(kids))
	for _, kid := range kids {
		v, err := s.eval(kid)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}

// part does x[item] and x[start:stop:step].
func (s *state) part(n *node) (value, error) {
	target, err := s.eval(n.kids[0])
	if err != nil {
		return nil, err
	}
	var bounds [3]value
	for i, kid := range n.kids[1:] {
		if kid == nil {
			continue
		}
		if bounds[i], err = s.eval(kid); err != nil {
			return nil, err
		}
	}
	if n.kind == slice {
		return sliceOf(&s.budget, target, bounds)
	}
	v, err := itemOf(&s.budget, target, bounds[0])
	return s.ofRow(target, bounds[0], v), err
}

// ofRow names a missing part of the whole row as the column that it is.
func (s *state) ofRow(target, key, found value) value {
	name, isText := key.(string)
	if _, missing := found.(*undefined); missing && isText && s.row.whole != nil && target == s.row.whole {
		return s.noColumn(name)
	}
	return found
}

// decide does what calculates only one of its sides.
func (s *state) decide(n *node) (value, error) {
	left, err := s.eval(n.kids[0])
	if err != nil {
		return nil, err
	}
	yes := truth(left)
	switch {
	case n.kind == not:
		return !yes, nil
	case n.kind == and && !yes, n.kind == or && yes:
		return left, nil
	case n.kind != condition || yes:
		return s.eval(n.kids[1])
	case n.kids[2] != nil:
		return s.eval(n.kids[2])
	}
	return &undefined{silent: true}, nil
}

func (s *state) dict(n *node) (value, error) {
	d := &dict{}
	if err := s.make(len(n.kids) / 2); err != nil {
		return nil, err
	}
	for i := 0; i < len(n.kids); i += 2 {
		pair, err := s.evalAll(n.kids[i : i+2])
		if err != nil {
			return nil, err
		}
		if err := d.set(pair[0], pair[1]); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (s *state) concat(n *node) (value, error) {
	texts, size := make([]string, 0, len(n.kids)), 0
	for _, kid := range n.kids {
		v, err := s.eval(kid)
		if err != nil {
			return nil, err
		}
		text, err := show(&s.budget, v)
		if err != nil {
			return nil, at(kid.offset, err)
		}
		texts, size = append(texts, text), size+len(text)
		if size > maxText {
			break
		}
	}
	if err := s.text(size); err != nil {
		return nil, err
	}
	return strings.Join(texts, ""), nil
}

// compare does a chain of comparisons, as in 1 < x < 3.
func (s *state) compare(n *node, left value) (value, error) {
	for i, op := range n.ops {
		right, err := s.eval(n.kids[i+1])
		if err != nil {
			return nil, err
		}
		yes, err := compares(&s.budget, op, left, right)
		if err != nil || !yes {
			return false, err
		}
		left = right
	}
	return true, nil
}

// arguments calculates those of a call.
func (s *state) arguments(n *node) (*call, error) {
	c := &call{budget: &s.budget, apply: s.applyFilter, test: s.applyTest}
	var err error
	if c.args, err = s.evalAll(n.kids[1:]); err != nil {
		return nil, err
	}
	for _, arg := range n.named {
		v, err := s.eval(arg.node)
		if err != nil {
			return nil, err
		}
		c.named = append(c.named, argument{arg.name, v})
	}
	return c, nil
}

// call calls a function or a method.
func (s *state) call(n *node) (value, error) {
	target := n.kids[0]
	var f value
	var err error
	switch target.kind {
	case attribute:
		in, err := s.eval(target.kids[0])
		if err != nil {
			return nil, err
		}
		if f = attributeOf(in, target.name); callable(f) == nil {
			return s.method(n, in)
		}
	case name:
		var ok bool
		if f, ok = s.scope.get(target.name); !ok {
			f = s.functions[target.name]
		}
		if callable(f) == nil && !ok {
			if f, err = s.lookup(target.name); err != nil {
				return nil, err
			}
		}
	default:
		if f, err = s.eval(target); err != nil {
			return nil, err
		}
	}
	if callable(f) == nil {
		if err := defined(f); err != nil {
			return nil, err
		}
		return nil, problem("%s cannot be called // show it by {{ name }} without brackets", kindOf(f))
	}
	c, err := s.arguments(n)
	if err != nil {
		return nil, err
	}
	return callable(f).call(c)
}

// method calls a method of a text, a list or an object.
func (s *state) method(n *node, in value) (value, error) {
	if err := defined(in); err != nil {
		return nil, err
	}
	var table map[string]handler
	switch in.(type) {
	case string:
		table = s.textMethods
	case *list:
		table = s.listMethods
	case *dict:
		table = s.dictMethods
	}
	name := n.kids[0].name
	h, ok := table[name]
	if !ok {
		return nil, problem("%s has no method %s // turn it into text by |string, or look whether it is there by {%% if x %%}", kindOf(in), name)
	}
	c, err := s.arguments(n)
	if err != nil {
		return nil, err
	}
	c.in, c.texts = in, true
	if err := h.bind("."+name+"()", c); err != nil {
		return nil, err
	}
	return h.do(c)
}

func (s *state) filter(n *node) (value, error) {
	in, err := s.eval(n.kids[0])
	if err != nil {
		return nil, err
	}
	return s.filterValue(n, in)
}

// filterValue calls the filter of a node on a value.
func (s *state) filterValue(n *node, in value) (value, error) {
	c, err := s.arguments(n)
	if err != nil {
		return nil, err
	}
	return s.applyFilter(n.name, in, c.args, c.named)
}

func (s *state) applyFilter(name string, in value, args []value, named []argument) (value, error) {
	h, ok := s.filters[name]
	if !ok {
		return nil, unknownName("filter", name, s.filters)
	}
	if name != "default" && name != "d" && name != "map" {
		if err := defined(in); err != nil {
			return nil, err
		}
	}
	if err := s.handle(64); err != nil { // so that calls of short texts end, too
		return nil, err
	}
	c := &call{budget: &s.budget, apply: s.applyFilter, test: s.applyTest, in: in, args: args, named: named}
	if err := h.bind("|"+name, c); err != nil {
		return nil, err
	}
	return h.do(c)
}

func (s *state) test(n *node) (bool, error) {
	in, err := s.eval(n.kids[0])
	if err != nil {
		return false, err
	}
	c, err := s.arguments(n)
	if err != nil {
		return false, err
	}
	return s.applyTest(n.name, in, c.args, c.named)
}

func (s *state) applyTest(name string, in value, args []value, named []argument) (bool, error) {
	h, ok := s.tests[name]
	if !ok {
		return false, unknownName("test", name, s.tests)
	}
	c := &call{budget: &s.budget, apply: s.applyFilter, test: s.applyTest, in: in, args: args, named: named}
	if err := h.bind("is "+name, c); err != nil {
		return false, err
	}
	v, err := h.do(c)
	return truth(v), err
}
