package export

import (
	"bufio"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
)

// A spool keeps lines on the disk, compressed, until all of them are known. Its file has no name
// any more where the system allows that, so that not even a kill leaves it behind.
type spool struct {
	draft *draft
	out   *bufio.Writer
	zstd  *zstd.Encoder
	size  [binary.MaxVarintLen64]byte
}

// newSpool begins a spool in a folder.
func newSpool(out, dir string) (*spool, error) {
	d, err := newDraft(out, dir, 0o600)
	if err != nil {
		return nil, err
	}
	os.Remove(filepath.Clean(d.file.Name())) // fails on Windows, and then remove does it
	s := &spool{draft: d}
	// What is written is read once and soon, so speed counts, and memory.
	s.zstd, err = zstd.NewWriter(d.file, zstd.WithEncoderConcurrency(2), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(1<<20))
	if err != nil {
		d.remove()
		return nil, err
	}
	s.out = bufio.NewWriterSize(s.zstd, bufferSize)
	return s, nil
}

// add appends a line.
func (s *spool) add(line []byte) error {
	n := binary.PutUvarint(s.size[:], uint64(len(line)))
	if _, err := s.out.Write(s.size[:n]); err != nil {
		return err
	}
	_, err := s.out.Write(line)
	return err
}

// each calls do with every line, in order. A line is valid until the next one.
func (s *spool) each(do func(line []byte) error) error {
	if err := s.out.Flush(); err != nil {
		return err
	}
	if err := s.zstd.Close(); err != nil {
		return err
	}
	if _, err := s.draft.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	unpacked, err := zstd.NewReader(s.draft.file, zstd.WithDecoderConcurrency(2), zstd.WithDecoderLowmem(true))
	if err != nil {
		return err
	}
	defer unpacked.Close()
	in := bufio.NewReaderSize(unpacked, bufferSize)
	var line []byte
	for {
		size, err := binary.ReadUvarint(in)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if uint64(cap(line)) < size {
			line = make([]byte, size, 2*size)
		}
		line = line[:size]
		if _, err := io.ReadFull(in, line); err != nil {
			return err
		}
		if err := do(line); err != nil {
			return err
		}
	}
}

// remove removes the spool.
func (s *spool) remove() { s.draft.remove() }
