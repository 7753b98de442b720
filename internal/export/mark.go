package export

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"gleaner/internal/pipeline"
)

// A mark says which files beside it Gleaner wrote, so that it overwrites no other. It stands in a
// hidden file: .NAME.gleaner beside a file, and .gleaner-export in a folder of shards. A file that
// is moved loses its mark, and is another's then.
type mark struct {
	About string   `json:"about"`
	Run   string   `json:"run"`
	Files []marked `json:"files"`
}

// aboutMarks explains a mark to a person who finds it.
const aboutMarks = "Gleaner wrote these files, and may overwrite them as long as they stay as they are."

// A marked file is one that Gleaner wrote.
type marked struct {
	Name    string `json:"name"`
	Size    int64  `json:"size"`
	ModTime int64  `json:"mod_time"` // nanoseconds since 1970
	SHA256  string `json:"sha256"`
}

// folderMark is the name of a folder's mark.
const folderMark = ".gleaner-export"

// markOf returns the path of a file's mark.
func markOf(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".gleaner")
}

// maxMark bounds what is read of a mark: a folder of 100,000 shards has one of 20 MiB.
const maxMark = 64 << 20

// readMark reads a mark. What is there and is none counts as no mark.
func readMark(path string) (mark, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return mark{}, nil
	}
	if err != nil {
		return mark{}, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxMark))
	if err != nil {
		return mark{}, err
	}
	var m mark
	if json.Unmarshal(data, &m) != nil {
		return mark{}, nil
	}
	return m, nil
}

// write writes a mark in one step.
func (m mark) write(out, path string) error {
	m.About = aboutMarks
	data, err := pipeline.Encode(m)
	if err != nil {
		return err
	}
	d, err := newDraft(out, filepath.Dir(path), 0o600)
	if err != nil {
		return err
	}
	defer d.remove()
	if _, err := d.Write(append(data, '\n')); err != nil {
		return failure(out, err)
	}
	if _, err := d.finish(""); err != nil {
		return failure(out, err)
	}
	if err := d.rename(path); err != nil {
		return failure(out, err)
	}
	return nil
}

// Words for whose a file is.
const (
	oursSame    = "as Gleaner wrote it"
	oursChanged = "changed since Gleaner wrote it"
	anothers    = "not written by Gleaner"
)

// whose says whose a file is. A mark may have two entries of a name, when it was interrupted
// between the file's old state and the new one.
func (m mark) whose(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return anothers, err
	}
	entries := slices.DeleteFunc(slices.Clone(m.Files), func(f marked) bool { return f.Name != filepath.Base(path) })
	if len(entries) == 0 || !info.Mode().IsRegular() {
		return anothers, nil
	}
	sum := ""
	for _, f := range entries {
		switch {
		case f.Size != info.Size():
			continue
		case f.ModTime == info.ModTime().UnixNano():
			return oursSame, nil
		case sum == "":
			if sum, err = sumOf(path); err != nil {
				return anothers, err
			}
		}
		if f.SHA256 == sum {
			return oursSame, nil
		}
	}
	return oursChanged, nil
}

func sumOf(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// mayOverwrite returns an error for a file that is there and is not as Gleaner wrote it.
func (m mark) mayOverwrite(out, path string) error {
	whose, err := m.whose(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && whose == oursSame:
		return nil
	case err != nil:
		return failure(out, err)
	case whose == oursChanged:
		return fmt.Errorf("output %s: %s was changed since Gleaner wrote it, and is not overwritten: choose another name, or overwrite it with --force", out, path)
	}
	return fmt.Errorf("output %s: %s is there already, and has no mark that Gleaner wrote it there: choose another name, or overwrite it with --force", out, path)
}
