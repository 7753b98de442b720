package dataset

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A Source is a dataset that can be read from its beginning more than once, even if it came through
// a pipe.
type Source struct {
	options SourceOptions
	name    string
	files   []InputFile
	leftOut []string
	total   int64
}

// NewSource finds the files of a dataset: patterns and folders are expanded in the natural order of
// names, 2 before 10. The caller closes it. Errors name what is missing and what there is instead.
func NewSource(o SourceOptions) (*Source, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	s := &Source{options: o}
	if o.Rows > 0 {
		s.name = "rows"
		s.files = []InputFile{{Path: s.name, rows: o.Rows}}
		return s, nil
	}
	var e expansion
	for _, input := range o.Inputs {
		if input == "-" {
			if err := s.addStdin(&e); err != nil {
				return nil, err
			}
			continue
		}
		if err := e.add(input); err != nil {
			return nil, err
		}
	}
	s.files, s.leftOut, s.name = e.files, e.leftOut, nameOf(o.Inputs, e.files)
	for _, f := range s.files {
		s.total += f.Size
	}
	for _, f := range s.files {
		if f.spool != nil {
			f.spool.in = &interruptible{ctx: o.Context, in: f.spool.in}
			s.total = 0 // not known
		}
	}
	return s, nil
}

func (s *Source) addStdin(e *expansion) error {
	for _, f := range e.files {
		if f.spool != nil && f.Path == stdinName {
			return wrong("input", "the standard input, -, is given twice: it can be read once")
		}
	}
	in := s.options.Stdin
	if in == nil {
		in = os.Stdin
	}
	e.files = append(e.files, InputFile{Path: stdinName, spool: &spool{in: in, name: stdinName}})
	return nil
}

// Name returns how the dataset is called: the name of the file, folder or pattern without the
// folder it lies in, or what several files have in common.
func (s *Source) Name() string { return s.name }

// Files returns the files in the order in which they are read.
func (s *Source) Files() []InputFile { return s.files }

// LeftOut returns the files of folders and patterns that are not read, each with the reason.
func (s *Source) LeftOut() []string { return s.leftOut }

// Open returns a reader at the first row. It may be called again once the reader before is closed.
func (s *Source) Open() (*Reader, error) {
	r := &Reader{options: s.options, files: s.files, total: s.total}
	if err := r.start(); err != nil {
		return nil, err
	}
	return r, nil
}

// Close removes what was kept of pipes.
func (s *Source) Close() (err error) {
	for _, f := range s.files {
		if f.spool != nil {
			err = errors.Join(err, f.spool.close())
		}
	}
	return err
}

// nameOf returns a short name for inputs.
func nameOf(inputs []string, files []InputFile) string {
	names := make([]string, len(inputs))
	for i, input := range inputs {
		switch {
		case input == "-":
			names[i] = "stdin"
		case filepath.Base(filepath.Clean(input)) == ".":
			absolute, err := filepath.Abs(input)
			if err != nil {
				absolute = input
			}
			names[i] = filepath.Base(absolute)
		default:
			names[i] = filepath.Base(filepath.Clean(input))
		}
	}
	if len(names) == 1 {
		return names[0]
	}
	begin, end := common(names)
	if len(begin) < 2 {
		return fmt.Sprintf("%s and %d more", names[0], len(names)-1)
	}
	return begin + "*" + end
}

// common returns how all names begin and end, without digits next to where they differ.
func common(names []string) (begin, end string) {
	begin, end = names[0], names[0]
	for _, name := range names[1:] {
		for !strings.HasPrefix(name, begin) {
			begin = begin[:len(begin)-1]
		}
		for !strings.HasSuffix(name, end) {
			end = end[1:]
		}
	}
	begin = strings.TrimRight(begin, "0123456789")
	end = strings.TrimLeft(end, "0123456789")
	if len(begin)+len(end) > len(names[0]) {
		end = ""
	}
	return strings.ToValidUTF8(begin, ""), strings.ToValidUTF8(end, "")
}
