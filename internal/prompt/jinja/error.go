package jinja

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// An Error says what is wrong with a template, or with what it makes of a row.
type Error struct {
	Template     string // "prompt" or "system", as Compile was told
	Line, Column int    // where in the template, from 1 on; columns are characters; 0 is nowhere
	Problem      string // what is wrong
	Advice       string // the spelling that works, or what else to do; may be empty
	Missing      string // the column that the row lacks, or nothing
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Template)
	if e.Line > 0 {
		fmt.Fprintf(&b, ", line %d, column %d", e.Line, e.Column)
	}
	b.WriteString(": " + e.Problem)
	if e.Advice != "" {
		b.WriteString("; " + e.Advice)
	}
	return b.String()
}

// A located error is one on its way to its template, which knows lines and columns.
type located struct {
	offset  int // in the template's text, in bytes; below 0: not known yet
	problem string
	advice  string
	missing string
}

func (e *located) Error() string { return e.problem }

// fail returns an error at an offset of the template. A problem ends at the first " // ", and what
// follows is the advice.
func fail(offset int, format string, args ...any) error {
	problem, advice, _ := strings.Cut(fmt.Sprintf(format, args...), " // ")
	return &located{offset: offset, problem: problem, advice: advice}
}

// problem returns an error of which the place is filled in by what called.
func problem(format string, args ...any) error { return fail(-1, format, args...) }

// at fills in the place of an error that has none.
func at(offset int, err error) error {
	if l, ok := err.(*located); ok && l.offset < 0 {
		l.offset = offset
	}
	return err
}

// position returns the line and the column of an offset, from 1 on.
func position(text string, offset int) (line, column int) {
	offset = min(max(offset, 0), len(text))
	before := text[:offset]
	start := strings.LastIndexByte(before, '\n') + 1
	return strings.Count(before, "\n") + 1, utf8.RuneCountInString(before[start:]) + 1
}
