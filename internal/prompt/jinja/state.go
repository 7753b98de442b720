package jinja

import (
	"fmt"
	"slices"
	"strings"
)

// A scope holds the names that a template sets itself.
type scope struct {
	outer  *scope
	names  []string
	values []value
	index  map[string]int // of large ones
}

// largeScope is the number of names from which on a scope has an index.
const largeScope = 16

// find returns the number of a name of this scope alone, or -1.
func (s *scope) find(name string) int {
	if s.index != nil {
		if i, ok := s.index[name]; ok {
			return i
		}
		return -1
	}
	return slices.Index(s.names, name)
}

func (s *scope) get(name string) (value, bool) {
	for ; s != nil; s = s.outer {
		if i := s.find(name); i >= 0 {
			return s.values[i], true
		}
	}
	return nil, false
}

func (s *scope) set(name string, v value) {
	if i := s.find(name); i >= 0 {
		s.values[i] = v
		return
	}
	s.names, s.values = append(s.names, name), append(s.values, v)
	switch {
	case s.index != nil:
		s.index[name] = len(s.names) - 1
	case len(s.names) > largeScope:
		s.index = map[string]int{}
		for i, n := range s.names {
			s.index[n] = i
		}
	}
}

// A state is a template at work on one row.
type state struct {
	budget
	*tables
	row   *row
	vars  map[string]value
	scope *scope
	out   *strings.Builder
}

// write adds a text to what the template makes.
func (s *state) write(text string) error {
	if s.out.Len()+len(text) > maxText {
		return s.text(s.out.Len() + len(text))
	}
	s.out.WriteString(text)
	return s.handle(len(text))
}

// lookup returns what a name stands for: what the template set, a var, a column, the whole row, a
// function.
func (s *state) lookup(name string) (value, error) {
	if v, ok := s.scope.get(name); ok {
		return v, nil
	}
	if v, ok := s.vars[name]; ok {
		return v, nil
	}
	if v, ok, err := s.row.column(name); ok || err != nil {
		return v, err
	}
	if name == "row" {
		return s.row.object()
	}
	if f, ok := s.functions[name]; ok {
		return f, nil
	}
	return s.noColumn(name), nil
}

// noColumn is what stands for a name that nothing has.
func (s *state) noColumn(name string) value {
	r := s.row
	return &undefined{missing: name, explain: func() (string, string) {
		columns := r.names()
		spelled := reference(name)
		advice := fmt.Sprintf("where rows may lack it write {%% if %s %%} … {%% endif %%} or {{ %s|default('') }}", spelled, spelled)
		if near := likely(name, columns); near != "" {
			advice = "did you mean " + spelling(near) + "?"
		}
		if name == "loop" {
			advice = "loop is there within {% for %} only"
		}
		return fmt.Sprintf("there is no column %q in the row, whose columns are %s", name, listed(columns)), advice
	}}
}

// pathColumn returns the column whose name is a path such as a.b, which beats the attribute b of
// the column a.
func (s *state) pathColumn(n *node) (value, bool, error) {
	if n.path == "" || !s.row.dotted {
		return nil, false, nil
	}
	root := n.root()
	if _, ok := s.scope.get(root); ok {
		return nil, false, nil
	}
	if _, ok := s.vars[root]; ok {
		return nil, false, nil
	}
	return s.row.column(n.path)
}
