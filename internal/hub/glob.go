package hub

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"gleaner/internal/text"
)

// maxPattern bounds a glob, in bytes.
const maxPattern = 1000

// hasMagic reports whether a path is a glob.
func hasMagic(s string) bool { return strings.ContainsAny(s, "*?[") }

// A glob chooses files as the datasets library does: * is anything but a slash, ** alone between
// slashes is any number of folders, and at the end any file below.
type glob struct {
	pattern string
	match   *regexp.Regexp
	literal string // the longest text that each match has, by which most others are told at once
	hidden  int    // how many of its parts name something hidden
	special int    // and how many of its folders begin with __
}

func newGlob(pattern string) (glob, error) {
	if len(pattern) > maxPattern {
		return glob{}, fmt.Errorf("the pattern %q… has %d bytes, %d are the most", text.Shorten(pattern, 40), len(pattern), maxPattern)
	}
	pattern = strings.TrimPrefix(pattern, "./")
	var b strings.Builder
	b.WriteString(`(?s)^`)
	parts := strings.Split(pattern, "/")
	for i, part := range parts {
		last := i == len(parts)-1
		switch {
		case part == "**" && last:
			b.WriteString(`.+`)
		case part == "**":
			b.WriteString(`(?:.+/)?`)
		default:
			b.WriteString(partExpression(part))
			if !last {
				b.WriteString(`/`)
			}
		}
	}
	b.WriteString(`$`)
	match, err := regexp.Compile(b.String())
	if err != nil {
		return glob{}, fmt.Errorf("the pattern %q: %w", text.Printable(pattern), err)
	}
	return glob{pattern, match, longestLiteral(pattern), hiddenParts(pattern), specialFolders(pattern)}, nil
}

// longestLiteral returns the longest part of a glob without magic.
func longestLiteral(pattern string) (longest string) {
	for part := range strings.SplitSeq(pattern, "/") {
		literal := ""
		for len(part) > 0 {
			n := 1
			if part[0] == '[' {
				if _, set := setExpression(part); set > 0 {
					n = set
				}
			}
			if n > 1 || strings.IndexByte("*?", part[0]) >= 0 {
				literal = ""
			} else if literal += part[:1]; len(literal) > len(longest) {
				longest = literal
			}
			part = part[n:]
		}
	}
	return longest
}

// partExpression returns the regular expression of what stands between two slashes.
func partExpression(part string) string {
	var b strings.Builder
	for len(part) > 0 {
		switch part[0] {
		case '*':
			b.WriteString(`[^/]*`)
		case '?':
			b.WriteString(`[^/]`)
		case '[':
			if set, n := setExpression(part); n > 0 {
				b.WriteString(set)
				part = part[n:]
				continue
			}
			b.WriteString(`\[`)
		default:
			end := strings.IndexAny(part, "*?[")
			if end < 0 {
				end = len(part)
			}
			b.WriteString(regexp.QuoteMeta(part[:end]))
			part = part[end:]
			continue
		}
		part = part[1:]
	}
	return b.String()
}

// setExpression returns the expression of a set as in [0-9] and its length in the pattern, or 0
// where the bracket is not closed.
func setExpression(part string) (string, int) {
	start := 1
	if strings.HasPrefix(part[start:], "!") {
		start++
	}
	end := strings.IndexByte(part[min(start+1, len(part)):], ']')
	if end < 0 {
		return "", 0
	}
	end += start + 1
	set := strings.NewReplacer(`\`, `\\`, `[`, `\[`, `^`, `\^`, `&`, `\&`).Replace(part[start:end])
	set = strings.Replace(set, `]`, `\]`, 1)
	if start == 2 {
		if strings.HasPrefix(set, "-") {
			set = `\` + set
		}
		set = "^/" + set
	}
	if _, err := regexp.Compile("[" + set + "]"); err != nil { // a range from behind, as in [9-0]
		return "", 0
	}
	return "[" + set + "]", end + 1
}

// matches reports whether the glob chooses a file: one that is hidden, or in a folder that is, or
// in one like __pycache__, only where the glob names that.
func (g glob) matches(file string) bool {
	return strings.Contains(file, g.literal) && g.match.MatchString(file) && hiddenParts(file) == g.hidden && specialFolders(file) == g.special &&
		(!isAboutTheDataset(path.Base(file)) || path.Base(file) == path.Base(g.pattern))
}

func hiddenParts(file string) (n int) {
	for part := range strings.SplitSeq(file, "/") {
		if strings.HasPrefix(part, ".") && strings.Trim(part, ".") != "" {
			n++
		}
	}
	return n
}

func specialFolders(file string) (n int) {
	for part := range strings.SplitSeq(path.Dir(file), "/") {
		if strings.HasPrefix(part, "__") {
			n++
		}
	}
	return n
}

// isAboutTheDataset reports whether a file never has rows, by its name.
func isAboutTheDataset(name string) bool {
	return slices.Contains([]string{"README.md", "config.json", "dataset_info.json", "dataset_infos.json", "dummy_data.zip", "dataset_dict.json"}, name)
}

// natural compares names such that numbers in them are ordered by their value.
func natural(a, b string) int {
	x, y := a, b
	for x != "" && y != "" {
		if isDigitByte(x[0]) && isDigitByte(y[0]) {
			var m, n string
			m, x = cutDigits(x)
			n, y = cutDigits(y)
			m, n = strings.TrimLeft(m, "0"), strings.TrimLeft(n, "0")
			if len(m) != len(n) {
				return len(m) - len(n)
			}
			if d := strings.Compare(m, n); d != 0 {
				return d
			}
			continue
		}
		if x[0] != y[0] {
			return int(x[0]) - int(y[0])
		}
		x, y = x[1:], y[1:]
	}
	if d := len(x) - len(y); d != 0 {
		return d
	}
	return strings.Compare(a, b)
}

func isDigitByte(b byte) bool { return '0' <= b && b <= '9' }

func cutDigits(s string) (digits, rest string) {
	end := 0
	for end < len(s) && isDigitByte(s[end]) {
		end++
	}
	return s[:end], s[end:]
}
