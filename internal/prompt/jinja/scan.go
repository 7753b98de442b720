package jinja

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/tokens"
)

// A source is the text of a template in a form that gonja's lexer reads without mistakes: it takes
// a quote after two backslashes for an escaped one, knows no line ends within an expression, and
// passes over letters that it does not know. So the text of each literal is replaced by as many
// letters, and is found by its offset. Offsets stay what they are.
type source struct {
	text     string
	clean    []byte
	literals map[int]string // by the offsets of their first quotes
	open     []openTag
}

// An openTag is one that has not ended yet.
type openTag struct {
	name   string
	offset int
}

// tags returns the tags that a template may have, and what ends each: nothing where nothing does.
func tags() map[string]string {
	return map[string]string{
		"if": "endif", "for": "endfor", "macro": "endmacro", "call": "endcall", "filter": "endfilter",
		"with": "endwith", "raw": "endraw", "block": "endblock", "set": "endset", "do": "", "break": "", "continue": "",
	}
}

// refused returns the tags of Jinja that a prompt cannot have, and what to do instead.
func refused() map[string]string {
	const load = "a prompt is one text: put the other text into it, or give it by --var NAME=@FILE.json"
	return map[string]string{
		"include": load, "import": load, "from": load, "extends": load,
		"trans": "write the text itself", "pluralize": "write the text itself",
		"autoescape": "nothing is escaped in a prompt; write x|e where you want it", "comment": "write {# … #}",
	}
}

// scan reads a template and refuses what is no Jinja. The text has no \r.
func scan(text string) (*source, error) {
	s := &source{text: text, clean: []byte(text), literals: map[int]string{}}
	for i := 0; ; {
		next := strings.IndexByte(text[i:], '{')
		if next < 0 || i+next+1 >= len(text) {
			break
		}
		i += next
		var err error
		switch text[i+1] {
		case '#':
			end := strings.Index(text[i+2:], "#}")
			if end < 0 {
				return nil, fail(i, "this comment does not end // write {# … #}, or {{ '{#' }} for the text itself")
			}
			i += 2 + end + 2
		case '{':
			i, err = s.expression(i, "}}")
		case '%':
			i, err = s.tag(i)
		default:
			i++
		}
		if err != nil {
			return nil, err
		}
	}
	if n := len(s.open); n > 0 {
		o := s.open[n-1]
		return nil, fail(o.offset, "{%% %s %%} does not end // write {%% %s %%} after what belongs to it", o.name, tags()[o.name])
	}
	return s, nil
}

// expression passes over {{ … }} or {% … %} from its first letter on.
func (s *source) expression(start int, end string) (int, error) {
	var braces []byte
	for i := start + 2; i < len(s.text); {
		c := s.text[i]
		closes := len(braces) > 0 && braces[len(braces)-1] == c
		switch {
		case !closes && strings.HasPrefix(s.text[i:], end):
			return i + 2, nil
		case c == '"' || c == '\'':
			next, err := s.literal(i)
			if err != nil {
				return 0, err
			}
			i = next
			continue
		case strings.IndexByte("([{", c) >= 0:
			if len(braces) >= maxDepth {
				return 0, fail(i, "brackets lie more than %d levels deep", maxDepth)
			}
			braces = append(braces, map[byte]byte{'(': ')', '[': ']', '{': '}'}[c])
		case strings.IndexByte(")]}", c) >= 0:
			if !closes {
				return 0, fail(i, "this %c closes nothing // write %s to end what began in %s", c, end, s.text[start:start+2])
			}
			braces = braces[:len(braces)-1]
		case c == '\n' || c == '\t' || c == '\v' || c == '\f':
			s.clean[i] = ' '
		default:
			r, size := utf8.DecodeRuneInString(s.text[i:])
			if !s.allowed(i, r) {
				return 0, s.strange(start, i, r)
			}
			i += size
			continue
		}
		i++
	}
	return 0, fail(start, "%s does not end // write %s after it, or {{ '%s' }} for the text itself", s.text[start:start+2], end, s.text[start:start+2])
}

// allowed says whether a letter can be part of an expression.
func (s *source) allowed(i int, r rune) bool {
	if r == '!' {
		return i+1 < len(s.text) && s.text[i+1] == '='
	}
	return r == '_' || strings.ContainsRune(" ,|+-~:.%/<>*=", r) || unicode.IsLetter(r) || unicode.IsDigit(r)
}

// strange explains a letter that no expression has.
func (s *source) strange(start, i int, r rune) error {
	inside := strings.TrimSpace(strings.TrimLeft(s.text[start+2:], "-+"))
	switch {
	case r == '$':
		return fail(i, "$ is no part of Jinja // write {{ question }} for the column question, and {{ row['$name'] }} for one whose name has $")
	case r == '!':
		return fail(i, "! is no part of Jinja // write not x")
	case r == '&':
		return fail(i, "& is no part of Jinja // write a and b")
	case r == ';' || r == '?':
		return fail(i, "%c is no part of Jinja // write {{ a if condition else b }}", r)
	case strings.HasPrefix(inside, "{"):
		return fail(i, "%c is no part of Jinja // write {{ '{{' }} for two braces as text", r)
	case r == utf8.RuneError:
		return fail(i, "the template is not UTF-8 // save it as UTF-8")
	}
	return fail(i, "%q is no part of an expression // put text into quotes, and write {{ row['Column name'] }} for such a column", string(r))
}

// literal passes over a text in quotes and keeps what it stands for.
func (s *source) literal(start int) (int, error) {
	quote := s.text[start]
	end := start + 1
	for ; end < len(s.text) && s.text[end] != quote; end++ {
		if s.text[end] == '\\' {
			end++
		}
	}
	if end >= len(s.text) {
		return 0, fail(start, "this %c is not closed", quote)
	}
	text, err := unescape(s.text[start+1 : end])
	if err != nil {
		return 0, at(start, err)
	}
	s.literals[start] = text
	for i := start + 1; i < end; i++ {
		s.clean[i] = 'x'
	}
	return end + 1, nil
}

// unescape returns what a text in quotes stands for, by the rules of Python.
func unescape(text string) (string, error) {
	if strings.IndexByte(text, '\\') < 0 {
		return text, nil
	}
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 == len(text) {
			out.WriteByte(text[i])
			continue
		}
		i++
		digits := 0
		switch c := text[i]; c {
		case '\n':
		case 'n', 't', 'r', 'a', 'b', 'f', 'v':
			out.WriteByte("\n\t\r\a\b\f\v"[strings.IndexByte("ntrabfv", c)])
		case '\\', '\'', '"':
			out.WriteByte(c)
		case 'x':
			digits = 2
		case 'u':
			digits = 4
		case 'U':
			digits = 8
		default:
			out.WriteByte('\\')
			out.WriteByte(c)
		}
		if digits == 0 {
			continue
		}
		if i+digits >= len(text) {
			return "", problem("\\%c wants %d digits // write two backslashes for one", text[i], digits)
		}
		n, err := strconv.ParseUint(text[i+1:i+1+digits], 16, 32)
		if err != nil || !utf8.ValidRune(rune(n)) {
			return "", problem("\\%s is no letter // write two backslashes for one", text[i:i+1+digits])
		}
		out.WriteRune(rune(n))
		i += digits
	}
	return out.String(), nil
}

// tag passes over {% … %}, and over what a raw block holds.
func (s *source) tag(start int) (int, error) {
	name := tagName(s.text[start:])
	nameAt := start + strings.Index(s.text[start:], name)
	end, err := s.expression(start, "%}")
	if err != nil {
		return 0, err
	}
	if name == "" {
		return 0, fail(start, "this tag has no name // write {%% if … %%}, or {{ '{%%' }} for the text itself")
	}
	if err := s.balance(name, start, nameAt, s.text[nameAt+len(name):end]); err != nil {
		return 0, err
	}
	if name != "raw" {
		return end, nil
	}
	close := regexp.MustCompile(`{%[-+]?\s*endraw\b`).FindStringIndex(s.text[end:])
	if close == nil {
		return 0, fail(start, "{%% raw %%} does not end // write {%% endraw %%} after it")
	}
	return end + close[0], nil
}

func tagName(tag string) string {
	rest := strings.TrimLeft(strings.TrimLeft(tag[2:], "+-"), " \t\n")
	return rest[:len(rest)-len(strings.TrimLeftFunc(rest, func(r rune) bool { return r == '_' || unicode.IsLetter(r) }))]
}

// balance keeps which tags are open.
func (s *source) balance(name string, start, nameAt int, rest string) error {
	all := tags()
	inside := func(names ...string) bool {
		return len(s.open) > 0 && slices.Contains(names, s.open[len(s.open)-1].name)
	}
	end, opens := all[name]
	switch {
	case name == "set" && strings.Contains(strings.SplitN(rest, "|", 2)[0], "="), opens && end == "":
		return nil
	case opens && len(s.open) >= maxDepth:
		return fail(start, "tags lie more than %d levels deep", maxDepth)
	case opens:
		s.open = append(s.open, openTag{name, start})
		return nil
	case name == "elif" && inside("if"), name == "else" && inside("if", "for"):
		return nil
	case name == "elif" || name == "else":
		return fail(start, "{%% %s %%} belongs to no {%% if %%} here", name)
	case strings.HasPrefix(name, "end"):
		if n := len(s.open); n > 0 {
			if want := all[s.open[n-1].name]; want != name {
				line, _ := position(s.text, s.open[n-1].offset)
				return fail(start, "{%% %s %%} stands where {%% %s %%} of line %d has to end // write {%% %s %%}", name, s.open[n-1].name, line, want)
			}
			s.open = s.open[:n-1]
			return nil
		}
		return fail(start, "{%% %s %%} ends nothing // write the tag that it ends before it, or leave it out", name)
	}
	if instead, ok := refused()[name]; ok {
		return fail(nameAt, "{%% %s %%} is not there in a prompt // %s", name, instead)
	}
	if name == "elseif" || name == "elsif" {
		return fail(nameAt, "there is no tag %s // write {%% elif … %%}", name)
	}
	names := make([]string, 0, len(all))
	for tag := range all {
		names = append(names, tag)
	}
	slices.Sort(names)
	if near := nearest(name, names); near != "" {
		return fail(nameAt, "there is no tag %s // write {%% %s … %%}", name, near)
	}
	return fail(nameAt, "there is no tag %s // the tags are %s", name, strings.Join(names, ", "))
}

// output is the name of the tag that {{ … }} becomes, so that one kind of parser reads all. It is
// no name that a template can have.
const output = "\x00output"

// tokens returns what gonja's lexer finds.
func (s *source) tokens() ([]*tokens.Token, error) {
	settings := config.New()
	settings.KeepTrailingNewline = true // it is off already
	stream := tokens.LexAll(string(s.clean), settings)
	var all []*tokens.Token
	for ; !stream.End(); stream.Next() {
		token := stream.Current()
		switch token.Type {
		case tokens.VariableBegin:
			token.Type = tokens.BlockBegin
			all = append(all, token, &tokens.Token{Type: tokens.Name, Val: output, Pos: token.Pos})
			continue
		case tokens.VariableEnd:
			token.Type = tokens.BlockEnd
		}
		all = append(all, token)
	}
	if stream.IsError() {
		return nil, fail(stream.Current().Pos, "it cannot be read: %s", stream.Current().Val)
	}
	return all, nil
}
