package jinja

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"gleaner/internal/text"
)

// isIdentifier says whether a template can use a name as it is.
func isIdentifier(name string) bool {
	for i, r := range name {
		if r != '_' && !unicode.IsLetter(r) && (i == 0 || !unicode.IsDigit(r)) {
			return false
		}
	}
	return name != ""
}

func isNameLetter(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r) }

func isKeyword(word string) bool {
	return slices.Contains([]string{"and", "or", "not", "in", "is", "if", "else", "true", "false", "none", "True", "False", "None"}, word)
}

func sortedNames(table map[string]handler) []string { return slices.Sorted(maps.Keys(table)) }

// spelling returns how a template writes a column.
func spelling(column string) string { return "{{ " + reference(column) + " }}" }

// reference returns a column as an expression.
func reference(column string) string {
	for part := range strings.SplitSeq(column, ".") {
		if !isIdentifier(part) {
			return "row[" + quoted(column) + "]"
		}
	}
	if isKeyword(strings.SplitN(column, ".", 2)[0]) {
		return "row[" + quoted(column) + "]"
	}
	return column
}

// likely returns the column that a wrong name probably means.
func likely(name string, columns []string) string {
	for _, column := range columns { // user in user-id, Question in "Question Text"
		if words := strings.FieldsFunc(column, func(r rune) bool { return !isNameLetter(r) }); len(words) > 1 && slices.Contains(words, name) {
			return column
		}
	}
	return nearest(name, columns)
}

func listed(columns []string) string {
	if len(columns) == 0 {
		return "none"
	}
	shown := make([]string, 0, len(columns))
	for i, column := range columns {
		if i == 30 {
			shown = append(shown, fmt.Sprintf("… and %d more", len(columns)-i))
			break
		}
		if strings.TrimSpace(column) != column || column == "" || strings.ContainsAny(column, ",\n") {
			column = quoted(column)
		}
		shown = append(shown, short(column))
	}
	return strings.Join(shown, ", ")
}

// quoted returns a name as a template writes it.
func quoted(name string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`, "\n", `\n`).Replace(name) + "'"
}

// short returns a name as a message shows it: not too long, and without control characters.
func short(name string) string {
	if runes := []rune(name); len(runes) > 60 {
		name = string(runes[:60]) + "…"
	}
	if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(name)
	}
	return name
}

// nearest returns the name that is most like a wrong one, or nothing if none is alike.
func nearest(wrong string, names []string) string {
	best, distance := "", len(wrong)/3+2
	for _, name := range names {
		if strings.EqualFold(name, wrong) {
			return name
		}
		if d := text.Distance(wrong, name, distance); d < distance || d == distance && best != "" && name < best {
			best, distance = name, d
		}
	}
	return best
}
