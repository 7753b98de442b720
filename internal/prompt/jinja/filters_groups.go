package jinja

import "slices"

func filterBatch(c *call) (value, error) {
	size, err := c.number(0, 0)
	if err != nil {
		return nil, err
	}
	if size < 1 {
		return nil, problem("|batch takes how many elements a part has, from 1 on")
	}
	items, err := c.items()
	if err != nil {
		return nil, err
	}
	if err := c.make(2 * len(items)); err != nil {
		return nil, err
	}
	var out []value
	for part := range slices.Chunk(items, size) {
		part = slices.Clone(part)
		if c.has(1) {
			if err := c.make(size - len(part)); err != nil {
				return nil, err
			}
			for len(part) < size {
				part = append(part, c.bound[1])
			}
		}
		out = append(out, newList(part))
	}
	return newList(out), nil
}

func filterSlice(c *call) (value, error) {
	n, err := c.number(0, 0)
	if err != nil {
		return nil, err
	}
	if n < 1 {
		return nil, problem("|slice takes how many parts there are, from 1 on")
	}
	items, err := c.items()
	if err != nil {
		return nil, err
	}
	if err := c.make(2*n + len(items)); err != nil {
		return nil, err
	}
	var out []value
	size, extra, at := len(items)/n, len(items)%n, 0
	for i := range n {
		end := at + size
		if i < extra {
			end++
		}
		part := slices.Clone(items[at:end])
		if c.has(1) && i >= extra {
			part = append(part, c.bound[1])
		}
		at = end
		out = append(out, newList(part))
	}
	return newList(out), nil
}

// filterGroupby returns pairs of a value and of the elements that have it, by the order of the
// values.
func filterGroupby(c *call) (value, error) {
	items, err := c.items()
	if err != nil {
		return nil, err
	}
	attribute := func(v value) (value, error) {
		found, err := resolve(c.budget, v, c.bound[0])
		if _, missing := found.(*undefined); missing && len(c.given) > 1 && c.given[1] {
			return c.bound[1], err
		}
		return found, err
	}
	key := func(v value) ([]value, error) {
		found, err := attribute(v)
		if err != nil {
			return nil, err
		}
		k, err := folded(c.budget, found, c.flag(2, false))
		return []value{k}, err
	}
	if items, err = sorted(c.budget, items, key, false); err != nil {
		return nil, err
	}
	var groups []value
	var last []value
	for _, v := range items {
		k, err := key(v)
		if err != nil {
			return nil, err
		}
		if last != nil {
			same, err := equal(c.budget, last[0], k[0])
			if err != nil {
				return nil, err
			}
			if same {
				group := groups[len(groups)-1].(*list).items[1].(*list)
				group.items = append(group.items, v)
				continue
			}
		}
		last = k
		shown, err := attribute(v)
		if err != nil {
			return nil, err
		}
		groups = append(groups, &list{items: []value{shown, newList([]value{v})}, labels: []string{"grouper", "list"}})
	}
	return newList(groups), nil
}

// filterMap does a filter on each element, or takes an attribute of each.
func filterMap(c *call) (value, error) {
	if err := defined(c.in); err != nil {
		return nil, err
	}
	items, err := c.items()
	if err != nil {
		return nil, err
	}
	if err := c.make(len(items)); err != nil {
		return nil, err
	}
	out := make([]value, 0, len(items))
	if len(c.args) == 0 {
		return mappedAttribute(c, items)
	}
	filter, err := show(c.budget, c.args[0])
	if err != nil {
		return nil, err
	}
	for _, v := range items {
		made, err := c.apply(filter, v, c.args[1:], c.named)
		if err != nil {
			return nil, err
		}
		out = append(out, made)
	}
	return newList(out), nil
}

func mappedAttribute(c *call, items []value) (value, error) {
	var path, otherwise value
	hasDefault := false
	for _, arg := range c.named {
		switch arg.name {
		case "attribute":
			path = arg.value
		case "default":
			otherwise, hasDefault = arg.value, true
		default:
			return nil, problem("|map has no argument %s // write |map('upper') or |map(attribute='name')", arg.name)
		}
	}
	if path == nil {
		return nil, problem("|map takes a filter or an attribute // write |map('upper') or |map(attribute='name')")
	}
	out := make([]value, 0, len(items))
	for _, v := range items {
		found, err := resolve(c.budget, v, path)
		if err != nil {
			return nil, err
		}
		if _, missing := found.(*undefined); missing && hasDefault {
			found = otherwise
		}
		out = append(out, found)
	}
	return newList(out), nil
}

// selected returns the elements for which a test says what is wanted.
func selected(c *call, wanted, byAttribute bool) (value, error) {
	items, err := c.items()
	if err != nil {
		return nil, err
	}
	args := c.args
	var path value
	if byAttribute {
		if len(args) == 0 {
			return nil, problem("the name of an attribute is missing // write |selectattr('name') or |selectattr('n', '>', 3)")
		}
		path, args = args[0], args[1:]
	}
	if err := c.make(len(items)); err != nil {
		return nil, err
	}
	var out []value
	for _, v := range items {
		tested := v
		if byAttribute {
			if tested, err = resolve(c.budget, v, path); err != nil {
				return nil, err
			}
		}
		yes := truth(tested)
		if len(args) > 0 {
			test, err := show(c.budget, args[0])
			if err != nil {
				return nil, err
			}
			if yes, err = c.test(test, tested, args[1:], c.named); err != nil {
				return nil, err
			}
		}
		if yes == wanted {
			out = append(out, v)
		}
	}
	return newList(out), nil
}
