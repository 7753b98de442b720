// Package jobfile reads a job from a file: the flags of a command under their own names, in YAML.
// What is on the command line or in the environment comes before what is in the file.
package jobfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"

	"gleaner/internal/text"
)

const (
	// Name is the name of the file that is read where no other is named.
	Name = "gleaner.yaml"
	// None is said in the place of a path where no file is to be read.
	None = "none"

	maxBytes      = 1 << 20      // of a file
	maxValueBytes = 4 * maxBytes // of a value, once aliases and variables are replaced
	maxNesting    = 100          // of lists and mappings, which here need three
	maxProblems   = 10           // that are named at once
)

// An entry is a key of a file with its value.
type entry struct {
	key   *yaml.Node
	value *yaml.Node
}

// isNull reports whether the value says "not set".
func (e entry) isNull() bool { return isNull(resolved(e.value)) }

// A Job is a job file that was read. A nil *Job is one without any key.
type Job struct {
	path    string // as people wrote it
	folder  string // of the file; empty: the working folder
	entries map[string]entry
	order   []string // the names of the entries, as they stand in the file
	secrets []string // values of variables that were taken
}

// A FileError says what is wrong at a position of a file. Lines and columns count from 1; 0 is
// unknown.
type FileError struct {
	Path         string
	Line, Column int
	Problem      string
}

func (e *FileError) Error() string {
	where := e.Path
	if e.Line > 0 {
		where += fmt.Sprintf(", line %d", e.Line)
	}
	if e.Column > 0 {
		where += fmt.Sprintf(", column %d", e.Column)
	}
	return where + ": " + e.Problem
}

// Find reads the job file of the working folder. It returns nil if there is none.
func Find() (*Job, error) {
	if _, err := os.Lstat(Name); !errors.Is(err, fs.ErrNotExist) {
		return Open(Name)
	}
	other := strings.TrimSuffix(Name, "yaml") + "yml"
	if _, err := os.Lstat(other); err == nil {
		return nil, &FileError{Path: other, Problem: fmt.Sprintf("this name is not looked for: call the file %s, or say --config %s, or --config %s", Name, other, None)}
	}
	return nil, nil
}

// Open reads the job file of this path, which has to be there. It returns nil for None and for an
// empty path. A file that is wrong is a *FileError, or several of them that are joined.
func Open(path string) (*Job, error) {
	if path == "" || path == None {
		return nil, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, unread(path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, &FileError{Path: path, Problem: "is not a file: a job is read from a file, from whose folder its paths are"}
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, unread(path, err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxBytes+1))
	if err != nil {
		return nil, unread(path, err)
	}
	return Parse(path, data)
}

// unread says that a file cannot be read.
func unread(path string, err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err // the path is said already
	}
	return fmt.Errorf("the job file %s cannot be read: %w: check the path, or say --config %s", path, err, None)
}

// Parse returns the job file of this path that has this content, of at most 1 MiB. It is judged by
// its form only: Validate judges its keys, and Resolve its values.
func Parse(path string, data []byte) (*Job, error) {
	f := &Job{path: path, entries: map[string]entry{}}
	if folder := filepath.Dir(path); folder != "." || filepath.IsAbs(path) {
		f.folder = folder
	}
	if len(data) > maxBytes {
		return nil, f.wrong(nil, "has more than %d bytes: is it a job?", maxBytes)
	}
	if err := f.checkText(data); err != nil {
		return nil, err
	}
	document, err := f.load(data)
	if document == nil || err != nil {
		return f, err
	}
	return f, f.take(document)
}

// wrong returns an error at the position of a node.
func (f *Job) wrong(at *yaml.Node, format string, args ...any) *FileError {
	e := &FileError{Path: f.path, Problem: fmt.Sprintf(format, args...)}
	if at != nil {
		e.Line, e.Column = at.Line, at.Column
	}
	return e
}

// checkText refuses what is no text, of which the parser does not say where it is.
func (f *Job) checkText(data []byte) error {
	line, column := 1, 0
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		column++
		switch {
		case r == utf8.RuneError && size == 1:
			return &FileError{f.path, line, column, "is not UTF-8: save the file in that encoding"}
		case r == '\n':
			line, column = line+1, 0
		case r < ' ' && r != '\t' && r != '\r', r >= 0x7f && r < 0xa0 && r != 0x85, r == '\ufffe', r == '\uffff':
			return &FileError{f.path, line, column, fmt.Sprintf("the control character U+%04X stands here: write it as \"\\u%04x\", in double quotes", r, r)}
		}
		i += size
	}
	return nil
}

// load returns the only document, or nil if there is none.
func (f *Job) load(data []byte) (*yaml.Node, error) {
	loader, err := yaml.NewLoader(bytes.NewReader(data), yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(maxNesting))))
	if err != nil {
		return nil, err // the options are wrong
	}
	var document, next yaml.Node
	switch err := loader.Load(&document); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, f.explain(err, data)
	}
	switch err := loader.Load(&next); {
	case errors.Is(err, io.EOF):
		return document.Content[0], nil
	case err != nil:
		return nil, f.explain(err, data)
	}
	return nil, f.wrong(next.Content[0], "a second document begins here: a file holds one job")
}

// take takes the entries of the mapping that a file is.
func (f *Job) take(document *yaml.Node) error {
	if isNull(document) {
		return nil
	}
	if document.Kind != yaml.MappingNode {
		hint := ""
		if document.Kind == yaml.ScalarNode {
			hint = ", with a space after the colon"
		}
		return f.wrong(document, "a job is written as lines of FLAG: VALUE%s", hint)
	}
	var problems []*FileError
	for i := 0; i+1 < len(document.Content) && len(problems) <= maxProblems; i += 2 {
		e := entry{document.Content[i], document.Content[i+1]}
		if e.key.Kind != yaml.ScalarNode || e.key.Style&yaml.TaggedStyle != 0 {
			problems = append(problems, f.wrong(e.key, "the name of a flag is expected: FLAG: VALUE"))
			continue
		}
		name := canonical(e.key.Value)
		if first, ok := f.entries[name]; ok {
			problems = append(problems, f.wrong(e.key, "%s stands in line %d already: several values are a list, [A, B]", said(e.key.Value), first.key.Line))
			continue
		}
		f.entries[name] = e
		f.order = append(f.order, name)
	}
	return together(problems)
}

// together returns several errors as one, or nil.
func together(problems []*FileError) error {
	more := len(problems) > maxProblems
	if more {
		problems = problems[:maxProblems]
	}
	all := make([]error, len(problems))
	for i, p := range problems {
		all[i] = p
	}
	if more {
		all = append(all, errors.New("and more"))
	}
	return errors.Join(all...)
}

// canonical returns the name of a flag as flags are written: num-predict.
func canonical(name string) string { return strings.ReplaceAll(name, "_", "-") }

// said returns a name of a file as it may be shown in an error.
func said(name string) string {
	if text.MayBeSecret(strings.TrimLeft(name, "-")) {
		return "…"
	}
	return text.Clip(text.OneLine(name), 40)
}

// resolved returns the node that an alias stands for.
func resolved(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

// isNull reports whether a value is null as YAML 1.2 writes it.
func isNull(n *yaml.Node) bool {
	if n.Kind != yaml.ScalarNode || n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		return false
	}
	switch n.Value {
	case "", "~", "null", "Null", "NULL":
		return n.Tag != "!!str"
	}
	return false
}

// Path returns the path of the file, as people wrote it.
func (f *Job) Path() string {
	if f == nil {
		return ""
	}
	return f.path
}

// Where says where the file has a flag, such as "gleaner.yaml, line 3". Without it that is nothing.
func (f *Job) Where(flag string) string {
	if f == nil {
		return ""
	}
	e, ok := f.entries[canonical(flag)]
	if !ok || e.isNull() {
		return ""
	}
	return fmt.Sprintf("%s, line %d", f.path, e.key.Line)
}

// Secrets returns what no message may show: the values of the variables that were taken.
func (f *Job) Secrets() text.Secrets {
	if f == nil {
		return nil
	}
	return text.SecretsOf(f.secrets...)
}

// Flags returns the names of the flags that the file has, in its order.
func (f *Job) Flags() []string {
	if f == nil {
		return nil
	}
	return slices.Clone(f.order)
}
