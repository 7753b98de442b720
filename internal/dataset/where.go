package dataset

import (
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser/lexer"
	"github.com/expr-lang/expr/vm"
)

// whereFlag is the flag of a condition.
const whereFlag = "input-where"

// A condition decides by an expression over its columns whether a row is taken. It belongs to one
// goroutine.
type condition struct {
	text    string
	program *vm.Program
	machine vm.VM
	names   map[string]bool // that stand in the expression; true once a row had such a column
	all     bool            // the expression asks for the row as a whole
	env     map[string]any
	columns []column

	seen []string // columns of the first rows, for messages
}

// newCondition compiles an expression. A name of a function that stands there without a call is a
// column: type, count and max are columns of real datasets.
func newCondition(text string) (*condition, error) {
	c := &condition{text: text, names: map[string]bool{}, env: map[string]any{}}
	options := []expr.Option{expr.Env(map[string]any{}), expr.AllowUndefinedVariables()}
	tokens, err := lexer.Lex(file.NewSource(text))
	if err != nil {
		return nil, wrong(whereFlag, "the condition %q: %v", text, err)
	}
	for i, token := range tokens {
		if token.Kind != lexer.Identifier || i > 0 && (tokens[i-1].Is(lexer.Operator, ".") || tokens[i-1].Is(lexer.Operator, "?.")) {
			continue
		}
		called := i+1 < len(tokens) && tokens[i+1].Is(lexer.Bracket, "(")
		inMap := i+1 < len(tokens) && tokens[i+1].Is(lexer.Operator, ":") && i > 0 && (tokens[i-1].Is(lexer.Bracket, "{") || tokens[i-1].Is(lexer.Operator, ","))
		switch name := token.Value; {
		case inMap || slices.Contains([]string{"true", "false", "nil", "let", "if", "else"}, name):
		case called && !slices.Contains(builtin.Names, name):
			return nil, wrong(whereFlag, "the condition %q: there is no function %q; functions like len, float, lower, trim, any and all are those of expr-lang", text, name)
		case called:
		case name == "row" || name == "$env":
			c.all = true
		default:
			if slices.Contains(builtin.Names, name) {
				options = append(options, expr.DisableBuiltin(name))
			}
			if !declared(tokens, name) {
				c.names[name] = false
			}
		}
	}
	if c.program, err = expr.Compile(text, options...); err != nil {
		return nil, wrong(whereFlag, "the condition %q cannot be used: %v", text, err)
	}
	return c, nil
}

// declared reports whether a name is a variable of the expression itself: let x = …
func declared(tokens []lexer.Token, name string) bool {
	for i := 1; i < len(tokens); i++ {
		if tokens[i].Kind == lexer.Identifier && tokens[i].Value == name && tokens[i-1].Value == "let" {
			return true
		}
	}
	return false
}

// holds evaluates the condition for a row. An error says why it cannot be evaluated.
func (c *condition) holds(row []byte) (bool, error) {
	c.columns = columnsOf(c.columns[:0], row)
	clear(c.env)
	var problem error
	for _, column := range c.columns {
		name := unquote(column.name)
		if len(c.seen) < 100 && !slices.Contains(c.seen, name) {
			c.seen = append(c.seen, name)
		}
		if _, used := c.names[name]; !used && !c.all {
			continue
		}
		value, err := valueOf(row[column.start:column.end])
		if err != nil && problem == nil {
			problem = fmt.Errorf("%w, in column %q", err, name)
		}
		c.env[name] = value
		if _, used := c.names[name]; used {
			c.names[name] = true
		}
	}
	if c.all {
		whole := make(map[string]any, len(c.env))
		for name, value := range c.env {
			whole[name] = value
		}
		if _, isColumn := c.env["row"]; !isColumn {
			c.env["row"] = whole
		}
	}
	if problem != nil {
		return false, problem
	}
	result, err := c.machine.Run(c.program, c.env)
	if err != nil {
		return false, fmt.Errorf("%s%s", firstLineOf(err.Error()), c.reason())
	}
	holds, ok := result.(bool)
	if !ok {
		return false, fmt.Errorf("it gives %.60q, not true or false", fmt.Sprint(result))
	}
	return holds, nil
}

// firstLineOf returns an error of expr without the excerpt of the expression.
func firstLineOf(text string) string {
	text, _, _ = strings.Cut(text, "\n")
	return text
}

// reason says what of this row may be the reason that the expression cannot be evaluated: a column
// that is missing or null, or one that is text, as all cells of tables are.
func (c *condition) reason() string {
	var texts, nulls []string
	for name := range c.names {
		switch c.env[name].(type) {
		case string:
			texts = append(texts, name)
		case nil:
			nulls = append(nulls, name)
		}
	}
	slices.Sort(texts)
	slices.Sort(nulls)
	switch {
	case len(nulls) > 0:
		return fmt.Sprintf(" (missing or null here: %s)", strings.Join(nulls, ", "))
	case len(texts) > 0:
		return fmt.Sprintf(" (%s is text here: compare numbers with float(%s))", texts[0], texts[0])
	}
	return ""
}

// missing says which name of the expression no row had, or nothing.
func (c *condition) missing() error {
	if len(c.seen) == 0 {
		return nil
	}
	var names []string
	for name, found := range c.names {
		if !found {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return wrong(whereFlag, "the condition %q: no row has a column %q: the columns are %s", c.text, names[0], list(c.seen))
}
