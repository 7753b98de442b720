package dataset

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// A Writer writes a dataset. The file does not appear under its name until Commit, and is complete
// then. A Writer belongs to one goroutine.
type Writer struct {
	path       string // as it was asked for, for errors
	file       *os.File
	out        *bufio.Writer  // in front of the compressor
	compressor io.WriteCloser // nil if there is none

	temporary string // the name of file until it is renamed; empty for what cannot be renamed
	target    string // path with its links followed
	err       error  // the first failure; nothing is written after it
	done      bool   // after Commit or Abort
}

// Create begins a dataset; the suffix .gz or .zst asks for compression. The rows go to a
// temporary file beside the path, which replaces an existing file when they are committed and takes
// over its permissions. "-" is the standard output, and a device or pipe is written directly.
func Create(path string) (*Writer, error) {
	w := &Writer{path: path, file: os.Stdout}
	if path != "-" {
		if err := w.open(); err != nil {
			return nil, err
		}
	}
	if err := w.compress(); err != nil {
		w.Abort()
		return nil, fmt.Errorf("output %s: %w", path, err)
	}
	return w, nil
}

func (w *Writer) open() (err error) {
	w.target = w.path
	if real, err := filepath.EvalSymlinks(w.path); err == nil {
		w.target = real
	}
	info, err := os.Stat(w.target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return w.openTemporary(0o600) // the answers are the user's own
	case err != nil:
		return w.failure(err)
	case info.IsDir():
		return fmt.Errorf("output %s is a folder: name a file in it", w.path)
	case !info.Mode().IsRegular():
		if w.file, err = os.OpenFile(w.target, os.O_WRONLY, 0); err != nil {
			return w.failure(err)
		}
		return nil
	}
	if err := w.openTemporary(info.Mode().Perm()); err != nil {
		return err
	}
	if err := w.file.Chmod(info.Mode().Perm()); err != nil && runtime.GOOS != "windows" {
		w.Abort()
		return w.failure(err)
	}
	return nil
}

func (w *Writer) openTemporary(mode fs.FileMode) error {
	for range 100 {
		name := filepath.Join(filepath.Dir(w.target), fmt.Sprintf(".gleaner-%016x.tmp", rand.Uint64()))
		file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		switch {
		case err == nil:
			w.file, w.temporary = file, name
			return nil
		case !errors.Is(err, fs.ErrExist):
			return w.failure(err)
		}
	}
	return fmt.Errorf("output %s: no free name for a temporary file beside it", w.path)
}

func (w *Writer) compress() (err error) {
	switch {
	case strings.HasSuffix(w.path, ".gz"):
		w.compressor = gzip.NewWriter(w.file)
	case strings.HasSuffix(w.path, ".zst"):
		w.compressor, err = zstd.NewWriter(w.file, zstd.WithEncoderConcurrency(1))
	}
	if err != nil {
		return err
	}
	w.out = bufio.NewWriterSize(w.file, bufferSize)
	if w.compressor != nil {
		w.out.Reset(w.compressor)
	}
	return nil
}

// Write writes a row as one line. After a failure the temporary file is gone, and every call
// returns that failure.
func (w *Writer) Write(row []byte) error {
	switch {
	case w.err != nil:
		return w.err
	case w.done:
		return fmt.Errorf("output %s is closed already", w.path)
	case len(row) == 0 || bytes.IndexByte(row, '\n') >= 0:
		return w.fail(errors.New("a row must be exactly one line"))
	}
	if _, err := w.out.Write(row); err != nil {
		return w.fail(err)
	}
	if err := w.out.WriteByte('\n'); err != nil {
		return w.fail(err)
	}
	return nil
}

// Commit makes the dataset appear under its name, synced to the disk, in one step.
func (w *Writer) Commit() error {
	switch {
	case w.err != nil:
		return w.err
	case w.done:
		return fmt.Errorf("output %s is closed already", w.path)
	}
	if err := w.flush(); err != nil {
		return w.fail(err)
	}
	if w.temporary == "" {
		w.done = true
		return w.closeDirect()
	}
	if err := w.file.Sync(); err != nil {
		return w.fail(err)
	}
	if err := w.file.Close(); err != nil {
		return w.fail(err)
	}
	if err := os.Rename(w.temporary, w.target); err != nil {
		return w.fail(err)
	}
	w.done = true
	if err := syncFolder(filepath.Dir(w.target)); err != nil {
		return fmt.Errorf("output %s is complete, but a power failure may still undo that: %w", w.path, err)
	}
	return nil
}

func (w *Writer) flush() error {
	if err := w.out.Flush(); err != nil {
		return err
	}
	if w.compressor == nil {
		return nil
	}
	return w.compressor.Close()
}

// closeDirect closes what was written without a temporary file.
func (w *Writer) closeDirect() error {
	if w.path == "-" {
		return nil
	}
	if err := w.file.Close(); err != nil {
		return w.failure(err)
	}
	return nil
}

// Abort removes the temporary file. A file that existed under the name before stays as it was.
// After Commit it does nothing, so it may be deferred.
func (w *Writer) Abort() {
	if w.done {
		return
	}
	w.done = true
	if w.path != "-" {
		w.file.Close()
	}
	if w.temporary != "" {
		os.Remove(w.temporary)
	}
}

// fail aborts the writer after a failure, and keeps the error for later calls.
func (w *Writer) fail(err error) error {
	w.err = w.failure(err)
	w.Abort()
	return w.err
}

// failure returns an error that says what could not be written and what to do about it.
func (w *Writer) failure(err error) error {
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
	return fmt.Errorf("output %s cannot be written: %w%s", w.path, err, hint)
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
