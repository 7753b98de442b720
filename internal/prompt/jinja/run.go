package jinja

import (
	"errors"
	"strings"
)

// What ends a turn of a loop, or the loop.
var (
	errLeave   = errors.New("break outside of a loop")
	errProceed = errors.New("continue outside of a loop")
)

// run does steps one after the other.
func (s *state) run(steps []*step) error {
	for _, step := range steps {
		if err := s.do(step); err != nil {
			return at(step.offset, err)
		}
	}
	return nil
}

func (s *state) do(p *step) error {
	if err := s.look(1); err != nil {
		return err
	}
	switch p.verb {
	case writeText:
		return s.write(p.text)
	case writeValue:
		v, err := s.eval(p.exprs[0])
		if err != nil {
			return err
		}
		text, err := show(&s.budget, v)
		if err != nil {
			return at(p.exprs[0].offset, err)
		}
		return s.write(text)
	case choose:
		return s.choose(p)
	case loop:
		v, err := s.eval(p.exprs[0])
		if err != nil {
			return err
		}
		return at(p.exprs[0].offset, s.loop(p, v, 1))
	case assign:
		return s.assign(p)
	case define:
		s.scope.set(p.name, s.macro(p))
		return nil
	case evaluate:
		_, err := s.eval(p.exprs[0])
		return err
	case leave:
		return errLeave
	case proceed:
		return errProceed
	case section:
		return s.inside(nil, p.bodies[0])
	}
	return s.doBody(p)
}

// doBody does steps that use what their bodies write.
func (s *state) doBody(p *step) error {
	switch p.verb {
	case with:
		values, err := s.evalAll(p.exprs)
		if err != nil {
			return err
		}
		inner := &scope{}
		for i, v := range values {
			inner.set(p.names[i], v)
		}
		return s.inside(inner, p.bodies[0])
	case callBlock:
		c, err := s.arguments(p.exprs[0])
		if err != nil {
			return err
		}
		f, err := s.eval(p.exprs[0].kids[0])
		if err != nil {
			return err
		}
		if callable(f) == nil {
			return problem("%s cannot be called // write {%% call name() %%} with the name of a macro", kindOf(f))
		}
		c.named = append(c.named, argument{"caller", s.macro(p.bodies[0][0])})
		v, err := callable(f).call(c)
		if err != nil {
			return err
		}
		text, err := show(&s.budget, v)
		if err != nil {
			return err
		}
		return s.write(text)
	}
	text, err := s.written(nil, p.bodies[0])
	if err != nil {
		return err
	}
	v, err := s.chain(p.exprs[0], text)
	if err != nil {
		return err
	}
	if p.verb == capture {
		s.scope.set(p.names[0], v)
		return nil
	}
	shown, err := show(&s.budget, v)
	if err != nil {
		return err
	}
	return s.write(shown)
}

// chain calls filters on a text, from the innermost on.
func (s *state) chain(n *node, text string) (value, error) {
	if n.kind != filterOf {
		return text, nil
	}
	in, err := s.chain(n.kids[0], text)
	if err != nil {
		return nil, err
	}
	v, err := s.filterValue(n, in)
	return v, at(n.offset, err)
}

// inside runs steps in a scope of their own.
func (s *state) inside(inner *scope, steps []*step) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	outer := s.scope
	defer func() { s.scope = outer }()
	if inner == nil {
		inner = &scope{}
	}
	if inner.outer == nil {
		inner.outer = outer
	}
	s.scope = inner
	return s.run(steps)
}

// written runs steps and returns what they write.
func (s *state) written(inner *scope, steps []*step) (string, error) {
	out := s.out
	defer func() { s.out = out }()
	s.out = &strings.Builder{}
	err := s.inside(inner, steps)
	return s.out.String(), err
}

func (s *state) choose(p *step) error {
	for i, test := range p.exprs {
		v, err := s.eval(test)
		if err != nil {
			return err
		}
		if truth(v) {
			return s.run(p.bodies[i])
		}
	}
	if len(p.bodies) > len(p.exprs) {
		return s.run(p.bodies[len(p.exprs)])
	}
	return nil
}

func (s *state) assign(p *step) error {
	v, err := s.eval(p.exprs[0])
	if err != nil {
		return err
	}
	if p.name == "" {
		return unpack(&s.budget, s.scope, p.names, v)
	}
	target, err := s.lookup(p.names[0])
	if err != nil {
		return err
	}
	d, ok := target.(*dict)
	if !ok || !d.namespace {
		return problem("%s.%s cannot be set // write {%% set %s = namespace() %%} before it", p.names[0], p.name, p.names[0])
	}
	return d.set(p.name, v)
}

// unpack gives names their values: one value, or as many elements as there are names.
func unpack(b *budget, s *scope, names []string, v value) error {
	if len(names) == 1 {
		s.set(names[0], v)
		return nil
	}
	items, err := elements(b, v)
	if err != nil {
		return err
	}
	if len(items) != len(names) {
		return problem("%d names stand for %s of %d elements // write as many names as there are elements", len(names), kindOf(v), len(items))
	}
	for i, name := range names {
		s.set(name, items[i])
	}
	return nil
}

// loop does a for over a value.
func (s *state) loop(p *step, over value, depth int) error {
	items, err := elements(&s.budget, over)
	if err != nil {
		return err
	}
	if len(p.exprs) > 1 {
		if items, err = s.filtered(p, items); err != nil {
			return err
		}
	}
	if len(items) == 0 {
		if len(p.bodies) > 1 {
			return s.inside(nil, p.bodies[1])
		}
		return nil
	}
	o := &loopObject{items: items, depth: depth}
	if p.recursive {
		o.again = s.recursion(p, depth)
	}
	for i, v := range items {
		if err := s.turn(1); err != nil {
			return err
		}
		o.index = i
		inner := &scope{names: make([]string, 0, 2), values: make([]value, 0, 2)}
		if err := unpack(&s.budget, inner, p.names, v); err != nil {
			return err
		}
		inner.set("loop", o)
		err := s.inside(inner, p.bodies[0])
		if errors.Is(err, errLeave) {
			break
		}
		if err != nil && !errors.Is(err, errProceed) {
			return err
		}
	}
	return nil
}

// recursion returns what loop(children) does in a recursive loop.
func (s *state) recursion(p *step, depth int) *function {
	return &function{name: "loop", call: func(c *call) (value, error) {
		if len(c.args) != 1 {
			return nil, problem("loop takes what it goes on with // write {{ loop(x.children) }}")
		}
		if err := s.enter(); err != nil {
			return nil, err
		}
		defer s.leave()
		out := s.out
		defer func() { s.out = out }()
		s.out = &strings.Builder{}
		err := s.loop(p, c.args[0], depth+1)
		return s.out.String(), err
	}}
}

// filtered returns the elements for which the condition of a loop is true.
func (s *state) filtered(p *step, items []value) ([]value, error) {
	var kept []value
	outer := s.scope
	defer func() { s.scope = outer }()
	for _, v := range items {
		if err := s.turn(1); err != nil {
			return nil, err
		}
		s.scope = &scope{outer: outer}
		if err := unpack(&s.budget, s.scope, p.names, v); err != nil {
			return nil, err
		}
		test, err := s.eval(p.exprs[1])
		if err != nil {
			return nil, err
		}
		if truth(test) {
			kept = append(kept, v)
		}
	}
	return kept, nil
}
