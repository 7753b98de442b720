package jinja

import (
	"maps"
)

// newTables returns what templates can call.
func newTables() *tables {
	t := &tables{
		filters: textFilters(), tests: isTests(),
		textMethods: textMethods(), listMethods: listMethods(), dictMethods: dictMethods(),
		functions: map[string]*function{
			"range": {"range", rangeOf}, "dict": {"dict", dictFrom}, "namespace": {"namespace", namespaceFrom},
			"cycler": {"cycler", newCycler}, "joiner": {"joiner", newJoiner},
		},
	}
	maps.Copy(t.filters, numberFilters())
	maps.Copy(t.filters, listFilters())
	known := func(table map[string]handler) handler {
		return handler{"", is(func(v value) bool { name, _ := v.(string); _, ok := table[name]; return ok })}
	}
	t.tests["filter"], t.tests["test"] = known(t.filters), known(t.tests)
	return t
}

// refusedNames are the filters and functions of Jinja that a prompt cannot have, and why.
func refusedNames() map[string]string {
	return map[string]string{
		"random":   "a prompt has to be the same each time; choose by a column, as in choices[row.n % 4]",
		"lipsum":   "a prompt has to be the same each time; write the text itself",
		"urlize":   "a prompt shows no links; write the text itself",
		"pprint":   "write |tojson(indent=2)",
		"_":        "write the text itself",
		"gettext":  "write the text itself",
		"ngettext": "write the text itself",
		"self":     "no other template can replace a block; write a macro",
		"super":    "no other template can replace a block; write a macro",
	}
}
