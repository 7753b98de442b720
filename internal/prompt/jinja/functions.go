package jinja

func rangeOf(c *call) (value, error) {
	if len(c.args) < 1 || len(c.args) > 3 || len(c.named) > 0 {
		return nil, problem("range takes one to three integers // write range(10), range(1, 10) or range(0, 10, 2)")
	}
	bounds := [3]int64{0, 0, 1}
	for i, arg := range c.args {
		n, ok := integer(arg)
		if !ok {
			if err := defined(arg); err != nil {
				return nil, err
			}
			return nil, problem("range takes integers, and this is %s // write x|int", kindOf(arg))
		}
		bounds[i] = n
	}
	if len(c.args) == 1 {
		bounds[0], bounds[1] = 0, bounds[0]
	}
	start, stop, step := bounds[0], bounds[1], bounds[2]
	if step == 0 {
		return nil, problem("the step of range cannot be 0 // leave it out")
	}
	n := rangeLength(start, stop, step)
	if err := c.make(n); err != nil {
		return nil, err
	}
	items := make([]value, n)
	for i := range items {
		items[i] = start + int64(i)*step
	}
	return newList(items), nil
}

// rangeLength counts the elements of a range; what is too large is more than a list may have.
func rangeLength(start, stop, step int64) int {
	if step > 0 && start >= stop || step < 0 && start <= stop {
		return 0
	}
	distance, stride := uint64(stop)-uint64(start), uint64(step)
	if step < 0 {
		distance, stride = -distance, -stride
	}
	return int(min((distance-1)/stride+1, maxTurns+1))
}

func dictFrom(c *call) (value, error) {
	d := &dict{}
	if len(c.args) > 1 {
		return nil, problem("dict takes one object at most, and names // write dict(a=1, b=2)")
	}
	if len(c.args) == 1 {
		if err := extend(c, d, c.args[0]); err != nil {
			return nil, err
		}
	}
	for _, arg := range c.named {
		if err := d.set(arg.name, arg.value); err != nil {
			return nil, err
		}
	}
	return d, c.make(len(d.keys))
}

// extend adds to an object what another has, or a list of pairs.
func extend(c *call, d *dict, from value) error {
	if o, ok := from.(*dict); ok {
		if err := c.make(len(o.keys)); err != nil {
			return err
		}
		for i, key := range o.keys {
			if err := d.set(key, o.values[i]); err != nil {
				return err
			}
		}
		return nil
	}
	items, err := elements(c.budget, from)
	if err != nil {
		return err
	}
	for _, v := range items {
		pair, ok := v.(*list)
		if !ok || len(pair.items) != 2 {
			return problem("an object is made of pairs, and this is %s // write dict(a=1, b=2)", kindOf(v))
		}
		if err := d.set(pair.items[0], pair.items[1]); err != nil {
			return err
		}
	}
	return nil
}

func namespaceFrom(c *call) (value, error) {
	d, err := dictFrom(c)
	if err != nil {
		return nil, err
	}
	d.(*dict).namespace = true
	return d, nil
}

// A cycler goes through its elements again and again.
type cycler struct {
	items []value
	at    int
}

func newCycler(c *call) (value, error) {
	if len(c.args) == 0 {
		return nil, problem("cycler takes what it goes through // write cycler('a', 'b')")
	}
	return &cycler{items: c.args}, nil
}

func (o *cycler) attribute(name string) (value, bool) {
	switch name {
	case "current":
		return o.items[o.at], true
	case "next":
		return &function{"next", func(*call) (value, error) {
			v := o.items[o.at]
			o.at = (o.at + 1) % len(o.items)
			return v, nil
		}}, true
	case "reset":
		return &function{"reset", func(*call) (value, error) { o.at = 0; return nil, nil }}, true
	}
	return nil, false
}

// newJoiner returns a function that returns nothing the first time, and a separator after that.
func newJoiner(c *call) (value, error) {
	var separator value = ", "
	switch {
	case len(c.args) == 1 && len(c.named) == 0:
		separator = c.args[0]
	case len(c.args) == 0 && len(c.named) == 1 && c.named[0].name == "sep":
		separator = c.named[0].value
	case len(c.args)+len(c.named) > 0:
		return nil, problem("joiner takes a separator // write joiner(', ')")
	}
	used := false
	return &function{"joiner", func(*call) (value, error) {
		if !used {
			used = true
			return "", nil
		}
		return separator, nil
	}}, nil
}
