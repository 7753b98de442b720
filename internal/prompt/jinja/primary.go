package jinja

import (
	"strings"

	"github.com/nikolalohinski/gonja/v2/tokens"
)

// postfixed reads an operand with what follows it: .name, [item], (arguments).
func (p *expressions) postfixed() (*node, error) {
	n, err := p.primary()
	for links := 0; err == nil; links++ {
		if links > maxDepth {
			return nil, fail(p.offset(), "more than %d names, brackets or calls follow each other", maxDepth)
		}
		switch offset := p.offset(); {
		case p.take(".") != "":
			n, err = p.attribute(n, offset)
		case p.take("[") != "":
			n, err = p.item(n, offset)
		case p.word() == "(":
			n, err = p.call(n)
		default:
			return n, nil
		}
	}
	return nil, err
}

func (p *expressions) attribute(target *node, offset int) (*node, error) {
	if p.at < len(p.tokens) && p.tokens[p.at].Type == tokens.Integer {
		index, err := integerOf(p.tokens[p.at])
		p.at++
		return &node{kind: item, offset: offset, kids: []*node{target, index}}, err
	}
	if !p.isName() {
		return nil, p.unexpected("a name")
	}
	n := &node{kind: attribute, offset: target.offset, name: p.word(), kids: []*node{target}}
	p.at++
	switch {
	case target.kind == name:
		n.path = target.name + "." + n.name
	case target.path != "":
		n.path = target.path + "." + n.name
	}
	return n, nil
}

// item reads what stands in brackets behind an operand.
func (p *expressions) item(target *node, offset int) (*node, error) {
	parts, isSlice := []*node{target, nil, nil, nil}, false
	for i := 1; p.take("]") == ""; {
		if p.take(":") != "" {
			if i++; i > 3 {
				return nil, fail(p.offset(), "a slice has three numbers at most // write x[start:stop:step]")
			}
			isSlice = true
			continue
		}
		if parts[i] != nil {
			return nil, p.unexpected("]")
		}
		var err error
		if parts[i], err = p.expression(); err != nil {
			return nil, err
		}
	}
	if isSlice {
		return &node{kind: slice, offset: offset, kids: parts}, nil
	}
	if parts[1] == nil {
		return nil, fail(offset, "nothing stands in these brackets // write x[0] or x['name']")
	}
	return &node{kind: item, offset: offset, kids: parts[:2]}, nil
}

// primary reads a literal, a name, or what stands in brackets.
func (p *expressions) primary() (*node, error) {
	if p.at >= len(p.tokens) {
		return nil, p.unexpected("an expression")
	}
	token := p.tokens[p.at]
	offset := token.Pos
	switch token.Type {
	case tokens.String:
		var text strings.Builder
		for ; p.at < len(p.tokens) && p.tokens[p.at].Type == tokens.String; p.at++ {
			text.WriteString(p.literals[p.tokens[p.at].Pos])
		}
		return &node{kind: literal, offset: offset, value: text.String()}, nil
	case tokens.Integer:
		p.at++
		return integerOf(token)
	case tokens.Float:
		p.at++
		return floatOf(token)
	case tokens.LeftParenthesis:
		return p.parentheses()
	case tokens.LeftBracket:
		p.at++
		n := &node{kind: listOf, offset: offset}
		return n, p.series("]", func() error {
			kid, err := p.expression()
			n.kids = append(n.kids, kid)
			return err
		})
	case tokens.LeftBrace:
		p.at++
		n := &node{kind: dictOf, offset: offset}
		return n, p.series("}", func() error { return p.pair(n) })
	}
	if !p.isName() {
		return nil, p.unexpected("an expression")
	}
	switch word := p.word(); word {
	case "true", "True", "false", "False":
		p.at++
		return &node{kind: literal, offset: offset, value: word[0]|0x20 == 't'}, nil
	case "none", "None":
		p.at++
		return &node{kind: literal, offset: offset}, nil
	}
	word, err := p.takeName("an expression")
	if err == nil && strings.ContainsRune("0123456789", rune(word[0])) {
		err = fail(offset, "%s is no name // a column whose name begins with a digit is {{ row['%s'] }}", word, word)
	}
	return &node{kind: name, offset: offset, name: word}, err
}

func (p *expressions) parentheses() (*node, error) {
	offset := p.offset()
	p.at++
	if p.take(")") != "" {
		return &node{kind: listOf, offset: offset}, nil
	}
	n, err := p.tuple()
	if err == nil && p.take(")") == "" {
		err = p.unexpected(")")
	}
	return n, err
}

// series reads what stands between commas, up to the end.
func (p *expressions) series(end string, each func() error) error {
	for p.take(end) == "" {
		if err := each(); err != nil {
			return err
		}
		if p.take(",") == "" && p.word() != end {
			return p.unexpected(", or " + end)
		}
	}
	return nil
}

func (p *expressions) pair(n *node) error {
	key, err := p.expression()
	if err != nil {
		return err
	}
	if p.take(":") == "" {
		return p.unexpected(":")
	}
	v, err := p.expression()
	n.kids = append(n.kids, key, v)
	return err
}
