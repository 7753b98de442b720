package jinja

// macro returns the function that a macro is. It sees the names of where it stands.
func (s *state) macro(p *step) *function {
	home := s.scope
	return &function{name: p.name, call: func(c *call) (value, error) {
		if err := s.turn(1); err != nil {
			return nil, err
		}
		if err := s.look(len(p.names)); err != nil {
			return nil, err
		}
		inner := &scope{outer: home}
		rest, named, err := bindParameters(p, inner, c)
		if err != nil {
			return nil, err
		}
		if err := s.enter(); err != nil {
			return nil, err
		}
		defer s.leave()
		outer := s.scope
		defer func() { s.scope = outer }()
		s.scope = inner
		for i, name := range p.names {
			if inner.find(name) >= 0 {
				continue
			}
			inner.set(name, lacking("the macro %s lacks its argument %s // give it, as in %s(%s=…)", p.name, name, p.name, name))
			if p.exprs[i] != nil {
				v, err := s.eval(p.exprs[i])
				if err != nil {
					return nil, err
				}
				inner.set(name, v)
			}
		}
		inner.set("varargs", newList(rest))
		inner.set("kwargs", newDict(named...))
		return s.written(&scope{outer: inner}, p.bodies[0])
	}}
}

// bindParameters gives the parameters of a macro their arguments, and returns what is left.
func bindParameters(p *step, inner *scope, c *call) (rest []value, named []argument, err error) {
	for i, v := range c.args {
		if i < len(p.names) {
			inner.set(p.names[i], v)
		} else {
			rest = append(rest, v)
		}
	}
	for _, arg := range c.named {
		switch {
		case arg.name == "caller":
			inner.set("caller", arg.value)
			if !contained(p.uses, "caller") {
				return nil, nil, problem("the macro %s does not use what stands in {%% call %%} // write {{ caller() }} in it", p.name)
			}
		case contained(p.names, arg.name):
			if inner.find(arg.name) >= 0 {
				return nil, nil, problem("the macro %s has its argument %s twice", p.name, arg.name)
			}
			inner.set(arg.name, arg.value)
		default:
			named = append(named, arg)
		}
	}
	if len(rest) > 0 && !contained(p.uses, "varargs") {
		return nil, nil, problem("the macro %s takes %d arguments and has %d", p.name, len(p.names), len(c.args))
	}
	if len(named) > 0 && !contained(p.uses, "kwargs") {
		return nil, nil, problem("the macro %s has no argument %s", p.name, named[0].name)
	}
	return rest, named, nil
}

func contained(names []string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}

// A loopObject is the name loop within a for.
type loopObject struct {
	items []value
	index int
	depth int
	last  []value   // of changed
	again *function // of a recursive loop
}

func (o *loopObject) function() *function { return o.again }

func (o *loopObject) attribute(name string) (value, bool) {
	n := len(o.items)
	switch name {
	case "index":
		return int64(o.index + 1), true
	case "index0":
		return int64(o.index), true
	case "revindex":
		return int64(n - o.index), true
	case "revindex0":
		return int64(n - o.index - 1), true
	case "first":
		return o.index == 0, true
	case "last":
		return o.index == n-1, true
	case "length":
		return int64(n), true
	case "depth":
		return int64(o.depth), true
	case "depth0":
		return int64(o.depth - 1), true
	case "previtem":
		if o.index > 0 {
			return o.items[o.index-1], true
		}
		return lacking("the first element has no loop.previtem // write {%% if not loop.first %%}"), true
	case "nextitem":
		if o.index+1 < n {
			return o.items[o.index+1], true
		}
		return lacking("the last element has no loop.nextitem // write {%% if not loop.last %%}"), true
	case "cycle":
		return &function{name: "loop.cycle", call: func(c *call) (value, error) {
			if len(c.args) == 0 {
				return nil, problem("loop.cycle takes what it goes through // write loop.cycle('a', 'b')")
			}
			return c.args[o.index%len(c.args)], nil
		}}, true
	case "changed":
		return &function{name: "loop.changed", call: o.changed}, true
	}
	return nil, false
}

func (o *loopObject) changed(c *call) (value, error) {
	if o.last != nil {
		same, err := equal(c.budget, newList(o.last), newList(c.args))
		if same || err != nil {
			return false, err
		}
	}
	o.last = append([]value{}, c.args...)
	return true, nil
}
