package export

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// checkTarget returns an error for an output that cannot be written or may not be overwritten.
func (c Config) checkTarget(f format) error {
	if c.Out == "-" || OnHub(c.Out) {
		return nil
	}
	path, info, err := resolve(c.Out)
	if err != nil {
		return err
	}
	if err := c.checkInputs(path, info); err != nil {
		return err
	}
	if info != nil && !info.IsDir() && !info.Mode().IsRegular() {
		return nil // a pipe or a device
	}
	dir := filepath.Dir(path)
	if f.kind == formatFolder {
		if info != nil && !info.IsDir() {
			return fmt.Errorf("output %s is a file and no folder: leave out the last slash, or choose another name", c.Out)
		}
		if err := c.checkFolder(path); err != nil {
			return err
		}
		dir = existing(path)
	} else if info != nil && !c.Force {
		m, err := readMark(markOf(path))
		if err != nil {
			return failure(c.Out, err)
		}
		unmarked := c.OwnName && len(m.Files) == 0 // an earlier version made no marks
		if err := m.mayOverwrite(c.Out, path); err != nil && !unmarked {
			return err
		}
	}
	d, err := newDraft(c.Out, dir, 0o600)
	if err != nil {
		return err
	}
	d.remove()
	return nil
}

// existing returns the innermost folder of a path that is there.
func existing(path string) string {
	for {
		if info, err := os.Stat(path); err == nil && info.IsDir() || filepath.Dir(path) == path {
			return path
		}
		path = filepath.Dir(path)
	}
}

// resolve follows the links of an output. The info is nil if nothing is there.
func resolve(out string) (path string, info os.FileInfo, err error) {
	path = filepath.Clean(out)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if real, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
			path = filepath.Join(real, filepath.Base(path))
		}
		return path, nil, nil
	} else if err != nil {
		return "", nil, failure(out, err)
	}
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil, fmt.Errorf("output %s is a link to what does not exist: remove the link or choose another name", out)
	}
	if err == nil {
		info, err = os.Stat(real)
	}
	if err != nil {
		return "", nil, failure(out, err)
	}
	return real, info, nil
}

// checkInputs returns an error if the output is an input, or lies in a folder that is one.
func (c Config) checkInputs(path string, info os.FileInfo) error {
	for _, input := range c.Inputs {
		names := []string{input}
		if _, err := os.Stat(input); err != nil {
			names, _ = filepath.Glob(input) // none, if it is no pattern either
		}
		for _, name := range names {
			is, err := os.Stat(name)
			switch {
			case err != nil:
				continue
			case info != nil && os.SameFile(is, info):
				return fmt.Errorf("output %s is the input %s, which is never overwritten: choose another name", c.Out, name)
			case is.IsDir() && within(path, is):
				return fmt.Errorf("output %s lies in the input folder %s, and would be read as input the next time: choose another folder", c.Out, name)
			}
		}
	}
	return nil
}

// within reports whether a path lies in a folder, at any depth.
func within(path string, folder os.FileInfo) bool {
	for {
		parent := filepath.Dir(path)
		if info, err := os.Stat(parent); err == nil && os.SameFile(info, folder) {
			return true
		}
		if parent == path {
			return false
		}
		path = parent
	}
}

// A target is the one file that is written.
type target struct {
	out    string
	path   string // with its links followed
	run    string
	draft  *draft
	direct *os.File // the standard output, a pipe or a device; instead of draft
}

// openTarget opens the file for a format that is no folder. Check has allowed it.
func openTarget(c Config, run string) (*target, error) {
	t := &target{out: c.Out, run: run, direct: os.Stdout}
	if c.Out == "-" {
		return t, nil
	}
	path, info, err := resolve(c.Out)
	if err != nil {
		return nil, err
	}
	t.path, t.direct = path, nil
	mode := fs.FileMode(0o600) // the answers are the user's own
	if info != nil && !info.Mode().IsRegular() {
		if t.direct, err = os.OpenFile(path, os.O_WRONLY, 0); err != nil {
			return nil, failure(c.Out, err)
		}
		return t, nil
	}
	if info != nil {
		mode = info.Mode().Perm()
	}
	if t.draft, err = newDraft(c.Out, filepath.Dir(path), mode); err != nil {
		return nil, err
	}
	if info != nil {
		_ = t.draft.file.Chmod(mode) // where the umask took something away; Windows cannot
	}
	return t, nil
}

// Write writes to the file.
func (t *target) Write(p []byte) (int, error) {
	if t.direct != nil {
		return t.direct.Write(p)
	}
	return t.draft.Write(p)
}

// dir returns the folder for temporary files.
func (t *target) dir() string {
	if t.direct != nil {
		return os.TempDir()
	}
	return filepath.Dir(t.path)
}

// commit makes the file appear under its name, synced to the disk, in one step.
func (t *target) commit() error {
	if t.direct != nil {
		if t.direct == os.Stdout {
			return nil
		}
		if err := t.direct.Close(); err != nil {
			return failure(t.out, err)
		}
		return nil
	}
	is, err := t.draft.finish(filepath.Base(t.path))
	if err != nil {
		return failure(t.out, err)
	}
	was, err := readMark(markOf(t.path))
	if err != nil {
		return failure(t.out, err)
	}
	// Until the new file has its name, the mark knows the old one and the new one.
	m := mark{Run: t.run, Files: append(was.Files, is)}
	if err := m.write(t.out, markOf(t.path)); err != nil {
		return err
	}
	if err := t.draft.rename(t.path); err != nil {
		return failure(t.out, err)
	}
	m.Files = []marked{is}
	if err := m.write(t.out, markOf(t.path)); err != nil {
		return fmt.Errorf("%w; the file itself is complete", err)
	}
	if err := syncFolder(filepath.Dir(t.path)); err != nil {
		return fmt.Errorf("output %s is complete, but a power failure may still undo that: %w", t.out, err)
	}
	return nil
}

// abort removes what was written. A file that was there before stays as it was.
func (t *target) abort() {
	if t.draft != nil {
		t.draft.remove()
	} else if t.direct != os.Stdout {
		t.direct.Close()
	}
}
