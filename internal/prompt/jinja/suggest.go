package jinja

import (
	"regexp"
	"slices"
	"strings"
)

// Suggest looks for what was meant as a column in a template of another kind: {question},
// ${question}, $question, %(question)s, %s, <question>, {{.question}}, {{ index . "question" }}. It
// returns how Jinja spells it, as in {{ question }}, and whether there is something.
func Suggest(text string, columns []string) (string, bool) {
	forms := []string{
		`\{\{-?\s*(?:json\s+)?\.([^\s{}|()]+)`,
		`\{\{-?\s*(?:json\s+)?\(?\s*index\s+\.\s+["` + "`" + `]([^"` + "`" + `]+)["` + "`" + `]`,
		`\$\{([^{}]+)\}`,
		`\$([\pL_][\pL\pN_.]*)`,
		`%\(([^()]+)\)[sdrf]`,
		`(?:^|[^{])\{\s*([^{}%#]+?)\s*\}(?:[^}]|$)`,
		`<([^<>/\n]+)>`,
		`\[\[?([^\[\]\n]+)\]\]?`,
	}
	for _, form := range forms {
		for _, match := range regexp.MustCompile(form).FindAllStringSubmatch(text, -1) {
			if column := meant(match[1], columns); column != "" {
				return spelling(column), true
			}
		}
	}
	if regexp.MustCompile(`%s|\{\}|\{0\}`).MatchString(text) {
		if column := principal(columns); column != "" {
			return spelling(column), true
		}
	}
	return "", false
}

// meant returns the column that a name stands for: itself, or one that differs in large letters,
// spaces and underlines only.
func meant(name string, columns []string) string {
	name, _, _ = strings.Cut(name, "!") // {question!r}, {question:>5} of Python
	name, _, _ = strings.Cut(name, ":")
	if slices.Contains(columns, name) {
		return name
	}
	plain := strings.NewReplacer("_", "", " ", "", "-", "").Replace
	for _, column := range columns {
		if name != "" && strings.EqualFold(plain(column), plain(name)) {
			return column
		}
	}
	return ""
}

// principal returns the column that a place without a name most likely means.
func principal(columns []string) string {
	for _, name := range []string{"question", "prompt", "instruction", "problem", "text", "input", "query"} {
		if column := meant(name, columns); column != "" {
			return column
		}
	}
	if len(columns) > 0 {
		return columns[0]
	}
	return ""
}
