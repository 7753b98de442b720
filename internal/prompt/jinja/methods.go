package jinja

import "slices"

// listMethods are the methods of lists.
func listMethods() map[string]handler {
	return map[string]handler{
		"append": {"x", func(c *call) (value, error) {
			return nil, changeList(c, func(l *list) { l.items = append(l.items, c.bound[0]) })
		}},
		"insert": {"i x", func(c *call) (value, error) {
			i, err := c.number(0, 0)
			if err != nil {
				return nil, err
			}
			return nil, changeList(c, func(l *list) {
				if i < 0 {
					i += len(l.items)
				}
				l.items = slices.Insert(l.items, min(max(i, 0), len(l.items)), c.bound[1])
			})
		}},
		"extend": {"items", func(c *call) (value, error) {
			items, err := elements(c.budget, c.bound[0])
			if err != nil {
				return nil, err
			}
			items = slices.Clone(items)
			return nil, changeList(c, func(l *list) { l.items = append(l.items, items...) })
		}},
		"pop":     {"i=", popItem},
		"reverse": {"", func(c *call) (value, error) { return nil, changeList(c, func(l *list) { slices.Reverse(l.items) }) }},
		"copy":    {"", filterList},
		"count":   {"x", countItem},
		"index":   {"x", indexItem},
	}
}

// changeList changes a list.
func changeList(c *call, change func(*list)) error {
	l := c.in.(*list)
	if l.frozen {
		return problem("a list that is given by --var cannot be changed // change a copy, as in {%% set mine = x|list %%}")
	}
	if len(l.items) > maxTurns {
		return c.make(len(l.items))
	}
	change(l)
	if err := c.look(len(l.items) / 64); err != nil {
		return err
	}
	return c.make(1)
}

func popItem(c *call) (value, error) {
	l := c.in.(*list)
	i, err := c.number(0, -1)
	if err != nil {
		return nil, err
	}
	if i < 0 {
		i += len(l.items)
	}
	if i < 0 || i >= len(l.items) {
		return nil, problem("a list of %d elements has nothing to pop there", len(l.items))
	}
	v := l.items[i]
	return v, changeList(c, func(l *list) { l.items = slices.Delete(l.items, i, i+1) })
}

func countItem(c *call) (value, error) {
	n := int64(0)
	for _, v := range c.in.(*list).items {
		if err := c.look(1); err != nil {
			return nil, err
		}
		yes, err := equal(c.budget, v, c.bound[0])
		if err != nil {
			return nil, err
		}
		if yes {
			n++
		}
	}
	return n, nil
}

func indexItem(c *call) (value, error) {
	for i, v := range c.in.(*list).items {
		if err := c.look(1); err != nil {
			return nil, err
		}
		if yes, err := equal(c.budget, v, c.bound[0]); yes || err != nil {
			return int64(i), err
		}
	}
	return nil, problem("the list does not have it // look by {%% if x in list %%} first")
}

// dictMethods are the methods of objects.
func dictMethods() map[string]handler {
	return map[string]handler{
		"items": {"", filterItems},
		"keys":  {"", filterList},
		"values": {"", func(c *call) (value, error) {
			d := c.in.(*dict)
			return newList(slices.Clone(d.values)), c.make(len(d.values))
		}},
		"get": {"key default=", func(c *call) (value, error) {
			v, ok := c.in.(*dict).get(c.bound[0])
			if !ok && c.given[1] {
				return c.bound[1], nil
			}
			return v, nil
		}},
		"copy": {"", func(c *call) (value, error) {
			d := &dict{}
			return d, extend(c, d, c.in)
		}},
		"update": {"other", func(c *call) (value, error) {
			d, err := changeable(c)
			if err != nil {
				return nil, err
			}
			return nil, extend(c, d, c.bound[0])
		}},
		"pop":        {"key default=", popKey},
		"setdefault": {"key default=", setDefault},
	}
}

// changeable returns the object that a method is to change.
func changeable(c *call) (*dict, error) {
	d := c.in.(*dict)
	if d.frozen {
		return nil, problem("an object that is given by --var cannot be changed // change a copy, as in {%% set mine = x.copy() %%}")
	}
	return d, c.make(1)
}

func popKey(c *call) (value, error) {
	d, err := changeable(c)
	if err != nil {
		return nil, err
	}
	if err := c.look(len(d.keys)); err != nil {
		return nil, err
	}
	h, err := hash(c.bound[0])
	if err != nil {
		return nil, err
	}
	if i := d.find(h); i >= 0 {
		v := d.values[i]
		d.remove(i)
		return v, nil
	}
	if c.given[1] {
		return c.bound[1], nil
	}
	return nil, problem("an object with %s has nothing to pop there // give a default, as in x.pop('key', '')", keysOf(d))
}

func setDefault(c *call) (value, error) {
	d, err := changeable(c)
	if err != nil {
		return nil, err
	}
	if v, ok := d.get(c.bound[0]); ok {
		return v, nil
	}
	return c.bound[1], d.set(c.bound[0], c.bound[1])
}
