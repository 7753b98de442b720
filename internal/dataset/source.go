package dataset

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// A Source is a dataset that can be read from its beginning more than once, even if it came through
// a pipe.
type Source struct {
	name string // as shown and stored
	path string // what is opened
	temp bool   // path is a temporary file, which Close removes
}

// NewSource returns the dataset at path. If path is "-", it copies stdin to a temporary file first,
// which the caller removes with Close.
func NewSource(path string, stdin io.Reader) (*Source, error) {
	if path != "-" {
		return &Source{name: filepath.Base(path), path: path}, nil
	}
	f, err := os.CreateTemp("", "gleaner-stdin-*")
	if err != nil {
		return nil, fmt.Errorf("keeping standard input in a temporary file: %w", err)
	}
	_, err = io.Copy(f, stdin)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("keeping standard input in %s: %w", f.Name(), err), os.Remove(f.Name()))
	}
	return &Source{name: "stdin", path: f.Name(), temp: true}, nil
}

// Name returns how the dataset is called: the file's name without its folder.
func (s *Source) Name() string { return s.name }

// Open returns a reader at the first row.
func (s *Source) Open() (*Reader, error) { return Open(s.path) }

// Close removes the copy of standard input, if there is one.
func (s *Source) Close() error {
	if !s.temp {
		return nil
	}
	return os.Remove(s.path)
}
