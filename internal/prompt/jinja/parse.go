package jinja

import (
	"slices"
	"strconv"
	"strings"

	"github.com/nikolalohinski/gonja/v2/tokens"
)

// An expressions parser reads expressions by the grammar of Jinja from gonja's tokens. gonja's own
// knows no inline if within brackets, and binds tests, signs and comparisons otherwise.
type expressions struct {
	tokens   []*tokens.Token
	literals map[int]string
	at       int
	end      int // the offset behind the last token
	depth    int
}

// maxRow is how many operators or filters may follow each other.
const maxRow = 10_000

// word returns the current token as text if it is no literal.
func (p *expressions) word() string {
	if p.at >= len(p.tokens) || p.tokens[p.at].Type == tokens.String {
		return ""
	}
	return strings.TrimSpace(p.tokens[p.at].Val)
}

func (p *expressions) offset() int {
	if p.at < len(p.tokens) {
		return p.tokens[p.at].Pos
	}
	return p.end
}

func (p *expressions) isName() bool {
	return p.at < len(p.tokens) && isNameToken(p.tokens[p.at])
}

func isNameToken(t *tokens.Token) bool {
	switch t.Type {
	case tokens.Name, tokens.Not, tokens.In, tokens.Is, tokens.And, tokens.Or:
		return true
	}
	return false
}

// take passes over one of some words and returns it.
func (p *expressions) take(words ...string) string {
	word := p.word()
	if word != "" && slices.Contains(words, word) {
		p.at++
		return word
	}
	return ""
}

// takeName passes over a name that is no keyword.
func (p *expressions) takeName(what string) (string, error) {
	if word := p.word(); p.isName() && !isKeyword(word) {
		p.at++
		return word, nil
	}
	return "", p.unexpected(what)
}

func (p *expressions) unexpected(wanted string) error {
	word := p.word()
	switch {
	case p.at >= len(p.tokens):
		return fail(p.offset(), "%s is missing here", wanted)
	case word == "":
		return fail(p.offset(), "a text stands where %s is expected // join texts by ~, as in a ~ 'text'", wanted)
	case word == "=":
		return fail(p.offset(), "= stands where %s is expected // compare by ==, and set a name by {%% set name = … %%}", wanted)
	}
	return fail(p.offset(), "%s stands where %s is expected // a column with a space or a sign in its name is {{ row['its name'] }}", word, wanted)
}

// finish returns an error if something is left.
func (p *expressions) finish() error {
	if p.at < len(p.tokens) {
		return p.unexpected("the end")
	}
	return nil
}

// enter bounds how deep expressions lie within each other.
func (p *expressions) enter() error {
	if p.depth++; p.depth > maxDepth {
		return fail(p.offset(), "expressions lie more than %d levels deep", maxDepth)
	}
	return nil
}

// tuple reads an expression, or several with commas between them, which are a list.
func (p *expressions) tuple() (*node, error) {
	offset := p.offset()
	first, err := p.expression()
	if err != nil || p.word() != "," {
		return first, err
	}
	all := []*node{first}
	for p.take(",") != "" && p.at < len(p.tokens) && p.word() != ")" {
		next, err := p.expression()
		if err != nil {
			return nil, err
		}
		all = append(all, next)
	}
	return &node{kind: listOf, offset: offset, kids: all}, nil
}

// expression reads an expression with its inline ifs.
func (p *expressions) expression() (*node, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	n, err := p.either()
	for count := 0; err == nil && p.take("if") != ""; count++ {
		if count > maxDepth {
			return nil, fail(p.offset(), "more than %d conditions follow each other", maxDepth)
		}
		offset := p.offset()
		var test, other *node
		if test, err = p.either(); err != nil {
			return nil, err
		}
		if p.take("else") != "" {
			if other, err = p.expression(); err != nil {
				return nil, err
			}
		}
		n = &node{kind: condition, offset: offset, kids: []*node{test, n, other}}
	}
	return n, err
}

// operators reads operands with operators of one rank between them, from left to right.
func (p *expressions) operators(operand func() (*node, error), make func(op string, left, right *node) *node, ops ...string) (*node, error) {
	n, err := operand()
	for count := 0; err == nil; count++ {
		offset := p.offset()
		if count > maxRow {
			return nil, fail(offset, "more than %d operators follow each other", maxRow)
		}
		op := p.take(ops...)
		if op == "" {
			return n, nil
		}
		var right *node
		if right, err = operand(); err == nil {
			n = make(op, n, right)
			n.offset = offset
		}
	}
	return nil, err
}

func (p *expressions) either() (*node, error) {
	return p.operators(p.both, func(_ string, l, r *node) *node { return &node{kind: or, kids: []*node{l, r}} }, "or")
}

func (p *expressions) both() (*node, error) {
	return p.operators(p.negated, func(_ string, l, r *node) *node { return &node{kind: and, kids: []*node{l, r}} }, "and")
}

func (p *expressions) negated() (*node, error) {
	offset := p.offset()
	if p.take("not") == "" {
		return p.comparison()
	}
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	n, err := p.negated()
	return &node{kind: not, offset: offset, kids: []*node{n}}, err
}

func (p *expressions) comparison() (*node, error) {
	first, err := p.sum()
	if err != nil {
		return nil, err
	}
	n := &node{kind: compared, offset: p.offset(), kids: []*node{first}}
	for {
		op := p.take("==", "!=", "<", "<=", ">", ">=", "in")
		if op == "" && p.word() == "not" && p.at+1 < len(p.tokens) && strings.TrimSpace(p.tokens[p.at+1].Val) == "in" {
			p.at += 2
			op = "not in"
		}
		if op == "" {
			break
		}
		next, err := p.sum()
		if err != nil {
			return nil, err
		}
		n.kids, n.ops = append(n.kids, next), append(n.ops, op)
	}
	if len(n.ops) == 0 {
		return first, nil
	}
	return n, nil
}

func calculation(op string, l, r *node) *node {
	return &node{kind: binary, name: op, kids: []*node{l, r}}
}

func (p *expressions) sum() (*node, error) { return p.operators(p.joined, calculation, "+", "-") }

// joined reads texts that are joined by ~.
func (p *expressions) joined() (*node, error) {
	join := func(_ string, l, r *node) *node {
		if l.kind == concat {
			l.kids = append(l.kids, r)
			return l
		}
		return &node{kind: concat, kids: []*node{l, r}}
	}
	return p.operators(p.product, join, "~")
}

func (p *expressions) product() (*node, error) {
	return p.operators(p.powers, calculation, "*", "/", "//", "%")
}

func (p *expressions) powers() (*node, error) {
	return p.operators(func() (*node, error) { return p.signed(true) }, calculation, "**")
}

// signed reads an operand with its signs; filters and tests bind to what the sign makes.
func (p *expressions) signed(filters bool) (*node, error) {
	offset := p.offset()
	sign := p.take("-", "+")
	var n *node
	var err error
	if sign == "" {
		n, err = p.postfixed()
	} else {
		if err := p.enter(); err != nil {
			return nil, err
		}
		defer func() { p.depth-- }()
		n, err = p.signed(false)
		n = &node{kind: minus, offset: offset, kids: []*node{n}}
		if sign == "+" {
			n.kind = plus
		}
	}
	if err != nil || !filters {
		return n, err
	}
	return p.filtered(n)
}

// filtered reads the filters and tests behind an operand.
func (p *expressions) filtered(n *node) (*node, error) {
	for count := 0; ; count++ {
		var err error
		offset := p.offset()
		switch {
		case count > maxRow:
			return nil, fail(offset, "more than %d filters follow each other", maxRow)
		case p.take("|") != "":
			n, err = p.filter(n)
		case p.take("is") != "":
			n, err = p.test(n, offset)
		case p.word() == "(" && (n.kind == filterOf || n.kind == testOf):
			n, err = p.call(n)
		default:
			return n, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// filter reads a filter behind the |.
func (p *expressions) filter(in *node) (*node, error) {
	n := &node{kind: filterOf, offset: p.offset(), kids: []*node{in}}
	var err error
	if n.name, err = p.takeName("the name of a filter"); err != nil {
		return nil, err
	}
	if p.word() == "(" {
		err = p.arguments(n)
	}
	return n, err
}

func (p *expressions) test(in *node, offset int) (*node, error) {
	negate := p.take("not") != ""
	n := &node{kind: testOf, offset: p.offset(), kids: []*node{in}}
	switch word := p.word(); {
	case slices.Contains([]string{"in", "none", "true", "false", "None", "True", "False"}, word):
		p.at++
		n.name = strings.ToLower(word)
	default:
		var err error
		if n.name, err = p.takeName("the name of a test"); err != nil {
			return nil, err
		}
	}
	switch {
	case p.word() == "(":
		if err := p.arguments(n); err != nil {
			return nil, err
		}
	case p.startsArgument():
		arg, err := p.postfixed()
		if err != nil {
			return nil, err
		}
		n.kids = append(n.kids, arg)
	}
	if negate {
		return &node{kind: not, offset: offset, kids: []*node{n}}, nil
	}
	return n, nil
}

// startsArgument says whether the argument of a test without brackets follows.
func (p *expressions) startsArgument() bool {
	if p.at >= len(p.tokens) {
		return false
	}
	switch p.tokens[p.at].Type {
	case tokens.String, tokens.Integer, tokens.Float, tokens.LeftBracket, tokens.LeftBrace:
		return true
	}
	return p.isName() && !slices.Contains([]string{"else", "or", "and", "if", "is", "in", "not"}, p.word())
}

// arguments reads those of a call, with their brackets.
func (p *expressions) arguments(n *node) error {
	p.at++ // (
	for p.take(")") == "" {
		if p.word() == "*" || p.word() == "**" {
			return fail(p.offset(), "%s is not there in a call // write the arguments themselves", p.word())
		}
		if p.isName() && p.at+1 < len(p.tokens) && p.tokens[p.at+1].Type == tokens.Assign {
			arg := namedNode{name: p.word()}
			p.at += 2
			var err error
			if arg.node, err = p.expression(); err != nil {
				return err
			}
			n.named = append(n.named, arg)
		} else {
			if len(n.named) > 0 {
				return fail(p.offset(), "an argument without a name follows one with a name // put it before them")
			}
			arg, err := p.expression()
			if err != nil {
				return err
			}
			n.kids = append(n.kids, arg)
		}
		if p.take(",") == "" && p.word() != ")" {
			return p.unexpected(", or )")
		}
	}
	return nil
}

func (p *expressions) call(target *node) (*node, error) {
	n := &node{kind: callOf, offset: target.offset, kids: []*node{target}}
	return n, p.arguments(n)
}

// integerOf returns the number that a token stands for.
func integerOf(t *tokens.Token) (*node, error) {
	text := strings.ReplaceAll(t.Val, "_", "")
	if len(text) > 1 && text[0] == '0' && strings.Trim(text, "0") != "" && text[1] >= '0' && text[1] <= '9' {
		return nil, fail(t.Pos, "a number cannot begin with 0 // write %s, or '%s' for the text", strings.TrimLeft(text, "0"), text)
	}
	base := 10
	if len(text) > 1 && text[1] > '9' {
		base = 0
	}
	i, err := strconv.ParseInt(text, base, 64)
	if err != nil {
		return nil, fail(t.Pos, "%s is no number that can be calculated with // put it into quotes to show it", t.Val)
	}
	return &node{kind: literal, offset: t.Pos, value: i}, nil
}

func floatOf(t *tokens.Token) (*node, error) {
	f, err := strconv.ParseFloat(strings.ReplaceAll(t.Val, "_", ""), 64)
	if err != nil {
		return nil, fail(t.Pos, "%s is no number that can be calculated with // put it into quotes to show it", t.Val)
	}
	return &node{kind: literal, offset: t.Pos, value: f}, nil
}
