package export

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const bufferSize = 256 << 10

// A draft is a file under a temporary name, beside the one that it will get.
type draft struct {
	out  string // what was asked for, for errors
	file *os.File
	hash hash.Hash
	size int64
	gone bool // renamed or removed
}

// newDraft creates a file in a folder.
func newDraft(out, dir string, mode fs.FileMode) (*draft, error) {
	for range 100 {
		name := filepath.Join(dir, fmt.Sprintf(".gleaner-%016x.tmp", rand.Uint64()))
		file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
		switch {
		case err == nil:
			return &draft{out: out, file: file, hash: sha256.New()}, nil
		case !errors.Is(err, fs.ErrExist):
			return nil, failure(out, err)
		}
	}
	return nil, fmt.Errorf("output %s: no free name for a temporary file beside it", out)
}

// Write appends to the file.
func (d *draft) Write(p []byte) (int, error) {
	n, err := d.file.Write(p)
	d.hash.Write(p[:n])
	d.size += int64(n)
	return n, err
}

// finish syncs and closes the file, and says what it is under the name that it will get.
func (d *draft) finish(name string) (marked, error) {
	if err := d.file.Sync(); err != nil {
		return marked{}, err
	}
	info, err := d.file.Stat()
	if err != nil {
		return marked{}, err
	}
	if err := d.file.Close(); err != nil {
		return marked{}, err
	}
	return marked{Name: name, Size: d.size, ModTime: info.ModTime().UnixNano(), SHA256: hex.EncodeToString(d.hash.Sum(nil))}, nil
}

// rename gives the file its name, in one step.
func (d *draft) rename(path string) error {
	if err := os.Rename(d.file.Name(), path); err != nil {
		return err
	}
	d.gone = true
	return nil
}

// remove removes the file unless it has its name.
func (d *draft) remove() {
	if d.gone {
		return
	}
	d.gone = true
	d.file.Close()
	os.Remove(d.file.Name())
}

// A writeError says what could not be written and what to do about it.
type writeError struct {
	text string
	err  error
}

// Error returns the text.
func (e *writeError) Error() string { return e.text }

// Unwrap returns what was the matter.
func (e *writeError) Unwrap() error { return e.err }

// failure returns an error that says what could not be written and what to do about it. One that
// says that already is returned as it is.
func failure(out string, err error) error {
	if said := (*writeError)(nil); errors.As(err, &said) {
		return err
	}
	hint := ""
	switch {
	case errors.Is(err, syscall.ENOSPC):
		hint = ": free some space or choose another disk"
	case errors.Is(err, fs.ErrNotExist):
		hint = ": create its folder first"
	case errors.Is(err, fs.ErrPermission):
		hint = ": allow this user to write to its folder"
	}
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err // the name of the temporary file would only confuse
	}
	var l *os.LinkError
	if errors.As(err, &l) {
		err = l.Err
	}
	return &writeError{fmt.Sprintf("output %s cannot be written: %v%s", out, err, hint), err}
}

// syncFolder makes the names in a folder durable, on systems that can do that.
func syncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	defer folder.Close()
	if err := folder.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// A packer buffers what is written, and compresses it if that is asked for.
type packer struct {
	*bufio.Writer
	compressor io.WriteCloser // nil if there is none
}

func newPacker(to io.Writer, packing string) (*packer, error) {
	p := &packer{Writer: bufio.NewWriterSize(to, bufferSize)}
	var err error
	switch packing {
	case ".gz":
		p.compressor, err = gzip.NewWriterLevel(to, gzip.DefaultCompression)
	case ".zst":
		p.compressor, err = zstd.NewWriter(to, zstd.WithEncoderConcurrency(1))
	}
	if err == nil && p.compressor != nil {
		p.Reset(p.compressor)
	}
	return p, err
}

// Close writes what is left.
func (p *packer) Close() error {
	if err := p.Flush(); err != nil || p.compressor == nil {
		return err
	}
	return p.compressor.Close()
}
