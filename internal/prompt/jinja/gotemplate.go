package jinja

import (
	"errors"
	"regexp"
	"strings"
)

// errOther is for what cannot be written in Jinja.
var errOther = errors.New("has no spelling in Jinja")

// IsGoTemplate says whether a text is a template of Go's text/template, as {{.question}}, {{range
// .x}}, {{if .y}}…{{end}} and {{json .x}} are, and returns it in Jinja. What cannot be said there
// stays as it is.
func IsGoTemplate(text string) (string, bool) {
	if !regexp.MustCompile(`\{\{-?\s*(?:\.[\pL_]|\.\s*[-|}]|\$\.|\$\pL+\s*:=|(?:range|with|if|else if|json|len|not)\s+[.$]|` +
		`(?:range|with|if|else if|json|len)\s+\(?\s*(?:index|eq|ne|lt|gt|le|ge|and|or|not|len)\s+[.$(]|` +
		`index\s+[.$(]|printf?\s+["` + "`" + `]|/\*|template\s+")`).MatchString(text) {
		return "", false
	}
	t := &translation{}
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "{{")
		out.WriteString(before)
		if !found {
			return out.String(), true
		}
		action, after, closed := strings.Cut(rest, "}}")
		if !closed {
			out.WriteString("{{" + rest)
			return out.String(), true
		}
		text = after
		left, right := "", ""
		inner := strings.TrimSpace(action)
		if strings.HasPrefix(action, "- ") {
			left, inner = "-", strings.TrimSpace(action[1:])
		}
		if strings.HasSuffix(action, " -") {
			right, inner = "-", strings.TrimSpace(strings.TrimSuffix(inner, "-"))
		}
		jinja, isTag, err := t.action(inner)
		switch {
		case err != nil:
			out.WriteString("{{" + action + "}}")
		case isTag:
			out.WriteString("{%" + left + " " + jinja + " " + right + "%}")
		case strings.HasPrefix(jinja, "{#"):
			out.WriteString(jinja)
		default:
			out.WriteString("{{" + left + " " + jinja + " " + right + "}}")
		}
	}
}

// A translation keeps what is open, and what the dot stands for in it.
type translation struct {
	ends []string
	dots []string
	loop string // the name of the innermost index
}

func (t *translation) dot() string {
	if len(t.dots) == 0 {
		return ""
	}
	return t.dots[len(t.dots)-1]
}

func (t *translation) open(end, dot string) {
	t.ends, t.dots = append(t.ends, end), append(t.dots, dot)
}

// action translates what stands between {{ and }}.
func (t *translation) action(action string) (jinja string, isTag bool, err error) {
	word, rest, _ := strings.Cut(action, " ")
	rest = strings.TrimSpace(rest)
	switch {
	case strings.HasPrefix(action, "/*"):
		return "{#" + strings.TrimSuffix(strings.TrimPrefix(action, "/*"), "*/") + "#}", false, nil
	case action == "end":
		if len(t.ends) == 0 {
			return "", false, errOther
		}
		end := t.ends[len(t.ends)-1]
		t.ends, t.dots = t.ends[:len(t.ends)-1], t.dots[:len(t.dots)-1]
		return end, true, nil
	case action == "else", action == "break", action == "continue":
		return action, true, nil
	case word == "else" && strings.HasPrefix(rest, "if "):
		test, err := t.pipeline(rest[3:])
		return "elif " + test, true, err
	case word == "if", word == "with":
		test, err := t.pipeline(rest)
		dot := t.dot()
		if word == "with" {
			dot = test
		}
		t.open("endif", dot)
		return "if " + test, true, err
	case word == "range":
		return t.loopTag(rest)
	}
	if name, v, ok := strings.Cut(action, ":="); ok && strings.HasPrefix(name, "$") {
		v, err := t.pipeline(v)
		return "set " + strings.TrimSpace(name[1:]) + " = " + v, true, err
	}
	jinja, err = t.pipeline(action)
	return jinja, false, err
}

func (t *translation) loopTag(rest string) (string, bool, error) {
	item := "item"
	if len(t.dots) > 0 {
		item = "item" + string(rune('1'+min(len(t.dots), 8)))
	}
	if names, over, ok := strings.Cut(rest, ":="); ok {
		rest = over
		index, element, two := strings.Cut(names, ",")
		if !two {
			element = index
		} else {
			t.loop = strings.TrimSpace(index)
		}
		item = strings.TrimPrefix(strings.TrimSpace(element), "$")
	}
	over, err := t.pipeline(rest)
	t.open("endfor", item)
	return "for " + item + " in " + over, true, err
}

// pipeline translates an expression with its pipes.
func (t *translation) pipeline(text string) (string, error) {
	words := regexp.MustCompile("\"(?:[^\"\\\\]|\\\\.)*\"|`[^`]*`|[()|]|[^\\s()|]+").FindAllString(text, -1)
	result, piped := "", false
	for len(words) > 0 {
		end, depth := 0, 0
		for ; end < len(words) && (words[end] != "|" || depth > 0); end++ {
			switch words[end] {
			case "(":
				depth++
			case ")":
				depth--
			}
		}
		args, _, err := t.operands(words[:end])
		if err != nil {
			return "", err
		}
		if piped {
			args = append(args, result)
		}
		if result, err = command(args); err != nil {
			return "", err
		}
		piped, words = true, words[min(end+1, len(words)):]
	}
	if result == "" {
		return "", errOther
	}
	return result, nil
}

// operands translates words up to a closing bracket.
func (t *translation) operands(words []string) (args, rest []string, err error) {
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		switch {
		case word == ")":
			return args, words, nil
		case word == "(":
			inner, left, err := t.operands(words)
			if err != nil {
				return nil, nil, err
			}
			joined, err := command(inner)
			if err != nil {
				return nil, nil, err
			}
			args, words = append(args, "("+joined+")"), left
		case word[0] == '`':
			args = append(args, `"`+strings.Trim(word, "`")+`"`)
		default:
			args = append(args, t.operand(word))
		}
	}
	return args, nil, nil
}

// operand translates a name, with what the dot stands for.
func (t *translation) operand(word string) string {
	switch {
	case t.loop != "" && word == t.loop:
		return "loop.index0"
	case word == "." && t.dot() != "":
		return t.dot()
	case word == "." || word == "$":
		return "row"
	case strings.HasPrefix(word, ".") && t.dot() != "":
		return t.dot() + word
	case strings.HasPrefix(word, "."):
		return reference(word[1:])
	case strings.HasPrefix(word, "$."):
		return reference(word[2:])
	case strings.HasPrefix(word, "$"):
		return word[1:]
	case word == "nil":
		return "none"
	}
	return word
}

// command translates the call of one of Go's functions with its arguments.
func command(args []string) (string, error) {
	if len(args) == 0 {
		return "", errOther
	}
	if len(args) == 1 {
		return args[0], nil
	}
	operators := map[string]string{"eq": " == ", "ne": " != ", "lt": " < ", "le": " <= ", "gt": " > ", "ge": " >= ", "and": " and ", "or": " or ", "print": " ~ "}
	rest := args[1:]
	if op, ok := operators[args[0]]; ok {
		return strings.Join(rest, op), nil
	}
	switch {
	case args[0] == "json" && len(rest) == 1:
		return rest[0] + "|tojson", nil
	case args[0] == "len" && len(rest) == 1:
		return rest[0] + "|length", nil
	case args[0] == "html" && len(rest) == 1:
		return rest[0] + "|e", nil
	case args[0] == "not" && len(rest) == 1:
		return "not " + rest[0], nil
	case args[0] == "index":
		return rest[0] + "[" + strings.Join(rest[1:], "][") + "]", nil
	case args[0] == "printf":
		return rest[0] + "|format(" + strings.Join(rest[1:], ", ") + ")", nil
	}
	return "", errOther
}
