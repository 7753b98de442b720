package jinja

import (
	"errors"
	"slices"
	"strings"

	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/parser"
	"github.com/nikolalohinski/gonja/v2/tokens"
)

// A compiler makes steps of a template. gonja's parser finds the tags, cuts white space and calls
// one control structure of ours for each tag; what the tag holds is read by expressions.
type compiler struct {
	source *source
}

// compile returns the steps of a template.
func compile(s *source) ([]*step, error) {
	all, err := s.tokens()
	if err != nil {
		return nil, err
	}
	c := &compiler{source: s}
	parsed, err := parser.NewParser("", tokens.NewStream(all), config.New(), nil, c).Parse()
	var ours *located
	var theirs *parser.SyntaxError
	switch {
	case errors.As(err, &ours):
		return nil, ours
	case errors.As(err, &theirs):
		return nil, fail(offsetOf(s.text, theirs.Line, theirs.Column), "%s", theirs.Message)
	case err != nil:
		return nil, fail(0, "it cannot be read: %v", err)
	}
	return c.steps(parsed.Nodes)
}

// offsetOf is the reverse of position.
func offsetOf(text string, line, column int) int {
	offset := 0
	for ; line > 1; line-- {
		next := strings.IndexByte(text[offset:], '\n')
		if next < 0 {
			break
		}
		offset += next + 1
	}
	return min(offset+max(column-1, 0), len(text))
}

// A structure is a step in the form that gonja's parser takes.
type structure struct {
	step  *step
	token *tokens.Token
}

func (s *structure) Position() *tokens.Token { return s.token }
func (s *structure) String() string          { return "" }

// Get returns what parses a tag, as gonja's parser wants it.
func (c *compiler) Get(name string) (parser.ControlStructureParser, bool) {
	parsers := map[string]func(*tagParser) error{
		output: c.output, "if": c.choice, "for": c.loop, "set": c.assignment, "with": c.with,
		"macro": c.macro, "call": c.callBlock, "filter": c.filter, "do": c.do, "raw": c.raw, "block": c.section,
		"break":    func(t *tagParser) error { t.step.verb = leave; return t.finish() },
		"continue": func(t *tagParser) error { t.step.verb = proceed; return t.finish() },
	}
	parse, ok := parsers[name]
	if !ok {
		return nil, false
	}
	return func(p, args *parser.Parser) (nodes.ControlStructure, error) {
		t := &tagParser{parser: p, compiler: c, step: &step{}, expressions: c.expressions(args)}
		t.step.offset = t.offset()
		if err := parse(t); err != nil {
			return nil, err
		}
		return &structure{t.step, &tokens.Token{Pos: t.step.offset}}, nil
	}, true
}

// expressions returns a parser of what a tag holds.
func (c *compiler) expressions(args *parser.Parser) *expressions {
	e := &expressions{literals: c.source.literals}
	for !args.End() {
		e.tokens = append(e.tokens, args.Next())
	}
	if n := len(e.tokens); n > 0 {
		last := e.tokens[n-1]
		e.end = last.Pos + len(last.Val)
	}
	return e
}

// steps returns what gonja's nodes stand for.
func (c *compiler) steps(all []nodes.Node) ([]*step, error) {
	var steps []*step
	for _, n := range all {
		switch n := n.(type) {
		case *nodes.Data:
			if text := dataText(n); text != "" {
				steps = append(steps, &step{verb: writeText, offset: n.Data.Pos, text: text})
			}
		case *nodes.ControlStructureBlock:
			s, ok := n.ControlStructure.(*structure)
			if !ok {
				return nil, fail(n.Location.Pos, "it cannot be read")
			}
			steps = append(steps, s.step)
		case nil, *nodes.Comment:
		default:
			return nil, fail(n.Position().Pos, "it cannot be read")
		}
	}
	return steps, nil
}

// dataText returns text between tags without the white space that a - cuts.
func dataText(n *nodes.Data) string {
	text := n.Data.Val
	if n.Trim.Left {
		text = strings.TrimLeft(text, " \r\n\t")
	}
	if n.Trim.Right {
		text = strings.TrimRight(text, " \r\n\t")
	}
	return text
}

// A tagParser parses one tag with what belongs to it.
type tagParser struct {
	*expressions
	parser   *parser.Parser
	compiler *compiler
	step     *step
}

// body reads up to one of some tags, and returns that tag.
func (t *tagParser) body(ends ...string) (string, error) {
	wrapper, args, err := t.parser.WrapUntil(ends...)
	if err != nil {
		return "", err
	}
	steps, err := t.compiler.steps(wrapper.Nodes)
	if err != nil {
		return "", err
	}
	t.step.bodies = append(t.step.bodies, steps)
	t.expressions = t.compiler.expressions(args)
	return wrapper.EndTag, nil
}

// only reads the one body of a tag, after which nothing follows.
func (t *tagParser) only(end string) error {
	if err := t.finish(); err != nil {
		return err
	}
	_, err := t.body(end)
	t.tokens = nil // Jinja lets the name of a macro or block follow
	return err
}

func (t *tagParser) expr(parse func() (*node, error)) error {
	n, err := parse()
	t.step.exprs = append(t.step.exprs, n)
	return err
}

func (c *compiler) output(t *tagParser) error {
	t.step.verb = writeValue
	if len(t.tokens) == 0 {
		return fail(t.step.offset, "nothing stands between {{ and }} // write {{ question }} for the column question")
	}
	if err := t.expr(t.tuple); err != nil {
		return err
	}
	return t.finish()
}

func (c *compiler) choice(t *tagParser) error {
	t.step.verb = choose
	for {
		if err := t.expr(t.tuple); err != nil {
			return err
		}
		if err := t.finish(); err != nil {
			return err
		}
		end, err := t.body("elif", "else", "endif")
		if err != nil || end == "endif" {
			return err
		}
		if end == "else" {
			if err := t.finish(); err != nil {
				return fail(t.offset(), "{%% else %%} takes no condition // write {%% elif … %%}")
			}
			_, err := t.body("endif")
			return err
		}
	}
}

// targets reads names with commas between them.
func (t *tagParser) targets() error {
	brackets := t.take("(") != ""
	for {
		word, err := t.takeName("a name")
		if err != nil {
			return err
		}
		t.step.names = append(t.step.names, word)
		if t.take(",") == "" {
			break
		}
	}
	if brackets && t.take(")") == "" {
		return t.unexpected(")")
	}
	return nil
}

func (c *compiler) loop(t *tagParser) error {
	t.step.verb = loop
	if err := t.targets(); err != nil {
		return err
	}
	if t.take("in") == "" {
		return t.unexpected("in")
	}
	// An if behind what is looped over is the loop's condition, so no inline if can stand there.
	if err := t.expr(t.looped); err != nil {
		return err
	}
	if t.take("if") != "" {
		if err := t.expr(t.expression); err != nil {
			return err
		}
	}
	t.step.recursive = t.take("recursive") != ""
	if err := t.finish(); err != nil {
		return err
	}
	end, err := t.body("else", "endfor")
	if err == nil && end == "else" {
		_, err = t.body("endfor")
	}
	return err
}

// looped reads what a loop is over.
func (t *tagParser) looped() (*node, error) {
	offset := t.offset()
	first, err := t.either()
	if err != nil || t.word() != "," {
		return first, err
	}
	all := []*node{first}
	for t.take(",") != "" && t.at < len(t.tokens) {
		next, err := t.either()
		if err != nil {
			return nil, err
		}
		all = append(all, next)
	}
	return &node{kind: listOf, offset: offset, kids: all}, nil
}

func (c *compiler) assignment(t *tagParser) error {
	t.step.verb = assign
	if err := t.targets(); err != nil {
		return err
	}
	if t.take(".") != "" {
		if !t.isName() || len(t.step.names) > 1 {
			return t.unexpected("the name of an attribute")
		}
		t.step.name = t.word()
		t.at++
	}
	if t.take("=") != "" {
		if err := t.expr(t.tuple); err != nil {
			return err
		}
		return t.finish()
	}
	if len(t.step.names) > 1 || t.step.name != "" {
		return t.unexpected("=")
	}
	t.step.verb = capture
	filters, err := t.filtered(&node{kind: literal, offset: t.offset(), value: ""})
	if err != nil {
		return err
	}
	t.step.exprs = []*node{filters}
	return t.only("endset")
}

func (c *compiler) with(t *tagParser) error {
	t.step.verb = with
	for len(t.tokens) > t.at {
		word, err := t.takeName("a name")
		if err != nil {
			return err
		}
		if t.take("=") == "" {
			return t.unexpected("=")
		}
		t.step.names = append(t.step.names, word)
		if err := t.expr(t.expression); err != nil {
			return err
		}
		if t.take(",") == "" {
			break
		}
	}
	return t.only("endwith")
}

// parameters reads those of a macro, with their brackets.
func (t *tagParser) parameters() error {
	if t.take("(") == "" {
		return t.unexpected("(")
	}
	return t.series(")", func() error {
		word, err := t.takeName("a name")
		if err != nil {
			return err
		}
		if slices.Contains(t.step.names, word) {
			return fail(t.offset(), "%s stands twice // give each parameter a name of its own", word)
		}
		t.step.names = append(t.step.names, word)
		if t.take("=") == "" {
			t.step.exprs = append(t.step.exprs, nil)
			return nil
		}
		return t.expr(t.expression)
	})
}

func (c *compiler) macro(t *tagParser) error {
	t.step.verb = define
	word, err := t.takeName("the name of the macro")
	if err != nil {
		return err
	}
	t.step.name = word
	if err := t.parameters(); err != nil {
		return err
	}
	err = t.only("endmacro")
	t.step.uses = usedOf(t.step.bodies, "caller", "varargs", "kwargs")
	return err
}

func (c *compiler) callBlock(t *tagParser) error {
	t.step.verb = callBlock
	caller := &step{verb: define, name: "caller", offset: t.step.offset}
	if t.word() == "(" {
		outer := t.step
		t.step = caller
		err := t.parameters()
		t.step = outer
		if err != nil {
			return err
		}
	}
	n, err := t.postfixed()
	if err != nil {
		return err
	}
	if n.kind != callOf {
		return fail(n.offset, "{%% call %%} takes the call of a macro // write {%% call name() %%}")
	}
	if err := t.only("endcall"); err != nil {
		return err
	}
	caller.bodies = t.step.bodies
	caller.uses = usedOf(caller.bodies, "varargs", "kwargs")
	t.step.exprs, t.step.bodies = []*node{n}, [][]*step{{caller}}
	return nil
}

func (c *compiler) filter(t *tagParser) error {
	t.step.verb = through
	n, err := t.expressions.filter(&node{kind: literal, offset: t.offset(), value: ""})
	if err == nil {
		n, err = t.filtered(n)
	}
	if err != nil {
		return err
	}
	t.step.exprs = []*node{n}
	return t.only("endfilter")
}

func (c *compiler) do(t *tagParser) error {
	t.step.verb = evaluate
	if err := t.expr(t.tuple); err != nil {
		return err
	}
	return t.finish()
}

func (c *compiler) raw(t *tagParser) error {
	t.step.verb = section
	return t.only("endraw")
}

// section is a block, which stands for what it holds: no other template can replace it.
func (c *compiler) section(t *tagParser) error {
	t.step.verb = section
	if _, err := t.takeName("the name of the block"); err != nil {
		return err
	}
	return t.only("endblock")
}
