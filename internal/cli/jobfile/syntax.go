package jobfile

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// explain says what is wrong with a file that is no YAML, where, and how it is written.
func (f *Job) explain(err error, data []byte) error {
	var wrong *yaml.LoadError
	if !errors.As(err, &wrong) {
		return &FileError{Path: f.path, Problem: err.Error()}
	}
	mark, from := wrong.Mark, wrong.ContextMark
	at := &FileError{Path: f.path, Line: mark.Line, Column: mark.Column, Problem: wrong.Message}
	line, column := lineOf(data, mark.Line), max(mark.Column-1, 0)
	indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
	rest := string([]rune(line)[min(column, len([]rune(line))):]) // columns are characters
	open := func(what, close string) {
		at.Problem = fmt.Sprintf("%s that begins in line %d, column %d, is not closed: %s is expected", what, from.Line, from.Column, close)
	}
	switch {
	case strings.Contains(indent, "\t"):
		at.Column = strings.IndexByte(line, '\t') + 1
		at.Problem = "a tab stands before the text: lines are indented by spaces"
	case strings.Contains(wrong.ContextMsg, "flow sequence"):
		open("the list", "a comma or ]")
	case strings.Contains(wrong.ContextMsg, "flow node"):
		at.Problem = "a value is expected here, or the end of a list or mapping that is not closed: ] or }"
	case strings.Contains(wrong.ContextMsg, "flow mapping"):
		open("the mapping", "a comma or }")
	case strings.Contains(wrong.ContextMsg, "quoted scalar") && strings.Contains(wrong.Message, "end of stream"):
		open("the text", "its second quote")
	case strings.Contains(wrong.Message, "escape"):
		at.Problem = `this escape is unknown: between double quotes a backslash is written \\, and between single ones \`
	case strings.Contains(wrong.Message, "unknown anchor"):
		at.Problem = "nothing has this name: a text that begins with * is put into quotes"
	case strings.Contains(wrong.Message, "mapping values"):
		at.Problem = "a colon is not expected here: FLAG: VALUE stands alone in its line, not indented, with a space after the colon, and a text with a colon and a space in it is put into quotes"
	case strings.Contains(wrong.Message, "cannot start") && rest != "":
		first, _ := utf8.DecodeRuneInString(rest)
		at.Problem = fmt.Sprintf("a text that begins with %c is put into quotes", first)
	case strings.Contains(wrong.Message, "expected ':'"):
		at.Problem = "a colon is expected: FLAG: VALUE, with a space after the colon"
	case strings.Contains(wrong.Message, "max depth"):
		at.Problem = fmt.Sprintf("more than %d lists and mappings are in each other here: a job has none in another", maxNesting)
	case wrong.ContextMsg != "":
		at.Problem = wrong.ContextMsg + ": " + wrong.Message
	}
	return at
}

// lineOf returns a line of a file, without its end; lines count from 1.
func lineOf(data []byte, number int) string {
	for line := range strings.Lines(string(data)) {
		if number--; number == 0 {
			return strings.TrimRight(line, "\r\n")
		}
	}
	return ""
}
