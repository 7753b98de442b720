package dataset

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// An InputFile is one file of a source.
type InputFile struct {
	Path   string // as the user gave it or as it was found below that
	Size   int64  // in bytes, 0 if it is not known
	Format string // what is in it; empty until a reader has opened it
	spool  *spool // in place of a file that can be opened again
	rows   int    // in place of a file: how many rows are counted
}

// A spool keeps what came through a pipe in a temporary file, so that it can be read again. The
// first reader gets the bytes as they come.
type spool struct {
	in   io.Reader
	name string
	file *os.File // nil until it is needed
	used bool     // the first reader has begun
	done bool     // everything is in the file
	err  error    // why it is not
}

// Read reads from the pipe and keeps what it read.
func (s *spool) Read(p []byte) (int, error) {
	switch {
	case s.err != nil:
		return 0, s.err
	case s.done:
		return 0, io.EOF // a pipe is not read behind its end
	}
	n, err := s.in.Read(p)
	if n > 0 {
		if _, failed := s.file.Write(p[:n]); failed != nil {
			s.err = fmt.Errorf("keeping %s in the temporary file %s: %w: free some space, or set TMPDIR to another disk", s.name, s.file.Name(), pathless(failed))
			return 0, s.err
		}
	}
	switch {
	case err == io.EOF:
		s.done = true
	case err != nil:
		s.err = err
	}
	return n, err
}

// open returns the content: of the pipe the first time, later of the file, and of what has not come
// through the pipe by then.
func (s *spool) open(name string, o SourceOptions, count func(int)) (*content, error) {
	if s.file == nil {
		file, err := os.CreateTemp("", "gleaner-stdin-*")
		if err != nil {
			return nil, fmt.Errorf("keeping %s in a temporary file: %w", s.name, err)
		}
		s.file = file
	}
	if !s.used {
		s.used = true
		return openStream(s, name, o, count)
	}
	if s.err != nil {
		return nil, fmt.Errorf("dataset %s cannot be read: %w", s.name, s.err)
	}
	if !s.done {
		kept, err := s.file.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, openError(name, err)
		}
		return openStream(io.MultiReader(io.NewSectionReader(s.file, 0, kept), s), name, o, count)
	}
	file, err := os.Open(s.file.Name())
	if err != nil {
		return nil, openError(name, err)
	}
	c := &content{closers: []func() error{file.Close}}
	if err = c.open(file, name, o, count); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// close removes the temporary file.
func (s *spool) close() error {
	if s.file == nil {
		return nil
	}
	file := s.file
	s.file = nil
	return errors.Join(file.Close(), os.Remove(file.Name()))
}
