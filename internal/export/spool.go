package export

import (
	"bufio"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/klauspost/compress/s2"
)

// A spool keeps lines on the disk, compressed, until all of them are known. Its file has no name
// any more where the system allows that, so that not even a kill leaves it behind. What is written
// is read once and soon, so speed counts more than size.
type spool struct {
	draft *draft
	out   *s2.Writer
	size  [binary.MaxVarintLen64]byte
}

// newSpool begins a spool in a folder.
func newSpool(out, dir string) (*spool, error) {
	d, err := newDraft(out, dir, 0o600)
	if err != nil {
		return nil, err
	}
	os.Remove(filepath.Clean(d.file.Name())) // fails on Windows, and then remove does it
	return &spool{draft: d, out: s2.NewWriter(d.file, s2.WriterConcurrency(2), s2.WriterBlockSize(spoolBlock))}, nil
}

// spoolBlock is how much of a spool is compressed at once, in bytes.
const spoolBlock = 256 << 10

// add appends a line.
func (s *spool) add(line []byte) error {
	n := binary.PutUvarint(s.size[:], uint64(len(line)))
	if _, err := s.out.Write(s.size[:n]); err != nil {
		return err
	}
	_, err := s.out.Write(line)
	return err
}

// A spooled is some lines of a spool, one after the other.
type spooled struct {
	text []byte
	ends []int // of the lines in it
}

// each calls do with every line, in order. A line is valid until the next one. While one is done,
// the next ones are read.
func (s *spool) each(do func(line []byte) error) error {
	if err := s.out.Close(); err != nil {
		return err
	}
	if _, err := s.draft.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	const ahead = 2
	read, used, stop := make(chan spooled, ahead), make(chan spooled, ahead+2), make(chan struct{})
	for range ahead + 2 {
		used <- spooled{}
	}
	var failure error
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(read)
		failure = s.read(used, read, stop)
	})
	err := func() error {
		for lines := range read {
			start := 0
			for _, end := range lines.ends {
				if err := do(lines.text[start:end:end]); err != nil {
					return err
				}
				start = end
			}
			used <- lines
		}
		return nil
	}()
	close(stop)
	reading.Wait()
	if err != nil {
		return err
	}
	return failure
}

// read reads all lines, until stop is closed. It takes the memory for them from those that were
// used.
func (s *spool) read(used <-chan spooled, read chan<- spooled, stop <-chan struct{}) error {
	in := bufio.NewReaderSize(s2.NewReader(s.draft.file, s2.ReaderMaxBlockSize(spoolBlock)), 64<<10)
	for more := true; more; {
		var lines spooled
		select {
		case lines = <-used:
		case <-stop:
			return nil
		}
		lines.text, lines.ends = lines.text[:0], lines.ends[:0]
		for len(lines.text) < spoolBlock {
			size, err := binary.ReadUvarint(in)
			if more = err != io.EOF; !more {
				break
			}
			if err != nil {
				return err
			}
			start := len(lines.text)
			lines.text = append(lines.text, make([]byte, size)...)
			if _, err := io.ReadFull(in, lines.text[start:]); err != nil {
				return err
			}
			lines.ends = append(lines.ends, len(lines.text))
		}
		select {
		case read <- lines:
		case <-stop:
			return nil
		}
	}
	return nil
}

// remove removes the spool.
func (s *spool) remove() {
	s.draft.remove()
	_ = s.out.Close() // ends what it does in the background; there is nothing to write to any more
}
