package export

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	cardName  = "README.md"
	shardGlob = "train-*-of-*.parquet" // as the card names the shards
)

// FolderPatterns returns patterns, as of path.Match, for the names of the files that a folder of an
// export has.
func FolderPatterns() []string { return []string{cardName, shardGlob} }

// shardName returns the name of a shard of a folder.
func shardName(i, of int) string { return fmt.Sprintf("train-%05d-of-%05d.parquet", i, of) }

// belongs returns the files of a folder that an export into it replaces or removes, and the
// folder's mark. A folder that does not exist has none.
func belongs(out, path string) (names []string, m mark, err error) {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, mark{}, nil
	}
	if err != nil {
		return nil, mark{}, failure(out, err)
	}
	if m, err = readMark(filepath.Join(path, folderMark)); err != nil {
		return nil, mark{}, failure(out, err)
	}
	for _, entry := range entries {
		if slices.ContainsFunc(FolderPatterns(), func(pattern string) bool { is, _ := filepath.Match(pattern, entry.Name()); return is }) {
			names = append(names, entry.Name())
		}
	}
	return names, m, nil
}

// checkFolder returns an error for a folder in which something would be replaced that Gleaner did
// not write, or that is an input.
func (c Config) checkFolder(path string) error {
	names, m, err := belongs(c.Out, path)
	if err != nil {
		return err
	}
	for _, name := range names {
		file := filepath.Join(path, name)
		info, err := os.Stat(file)
		if err != nil {
			continue // a link to nothing is no input
		}
		if err := c.checkInputs(file, info); err != nil {
			return err
		}
		if c.Force {
			continue
		}
		whose, err := m.whose(file)
		switch {
		case err != nil:
			return failure(c.Out, err)
		case whose == oursChanged:
			return fmt.Errorf("output %s: %s in it was changed since Gleaner wrote it: move it away, choose another folder, or replace it with --force", c.Out, name)
		case whose == anothers:
			return fmt.Errorf("output %s: %s in it was not written by Gleaner, and would be part of the dataset or replaced: choose another folder, or replace it with --force", c.Out, name)
		}
	}
	return nil
}

// A folderTarget is a folder of shards that is written.
type folderTarget struct {
	config Config
	path   string // with its links followed
	run    string
	made   []string // the folders that were created, the outermost first
	shards []*draft
	done   bool
}

// openFolder makes the folder if it is not there. Check has allowed it.
func openFolder(c Config, run string) (*folderTarget, error) {
	path, _, err := resolve(c.Out)
	if err != nil {
		return nil, err
	}
	t := &folderTarget{config: c, path: path, run: run}
	for dir := path; dir != existing(path); dir = filepath.Dir(dir) {
		t.made = append([]string{dir}, t.made...)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, failure(c.Out, err)
	}
	return t, nil
}

// next begins a shard.
func (t *folderTarget) next() (io.Writer, error) {
	d, err := newDraft(t.config.Out, t.path, 0o600)
	if err != nil {
		return nil, err
	}
	t.shards = append(t.shards, d)
	return d, nil
}

// commit gives the shards their names, with a card beside them, and removes what an earlier export
// into the folder wrote.
func (t *folderTarget) commit(card []byte) (files []marked, err error) {
	readme, err := newDraft(t.config.Out, t.path, 0o600)
	if err != nil {
		return nil, err
	}
	defer readme.remove()
	if _, err := readme.Write(card); err != nil {
		return nil, failure(t.config.Out, err)
	}
	drafts := append(slices.Clone(t.shards), readme)
	for i, d := range drafts {
		name := cardName
		if i < len(t.shards) {
			name = shardName(i, len(t.shards))
		}
		is, err := d.finish(name)
		if err != nil {
			return nil, failure(t.config.Out, err)
		}
		files = append(files, is)
	}
	return files, t.swap(drafts, files)
}

// swap replaces the files of an earlier export by the new ones. All of them are on the disk.
func (t *folderTarget) swap(drafts []*draft, files []marked) error {
	if err := t.config.checkFolder(t.path); err != nil { // it may have changed since
		return err
	}
	old, was, err := belongs(t.config.Out, t.path)
	if err != nil {
		return err
	}
	path := filepath.Join(t.path, folderMark)
	// Until all files have their names, the mark knows the old ones and the new ones.
	m := mark{Run: t.run, Files: slices.Concat(was.Files, files)}
	if err := m.write(t.config.Out, path); err != nil {
		return err
	}
	for i, d := range drafts {
		if err := d.rename(filepath.Join(t.path, files[i].Name)); err != nil {
			return failure(t.config.Out, err)
		}
	}
	t.done = true
	for _, name := range old {
		if slices.ContainsFunc(files, func(f marked) bool { return f.Name == name }) {
			continue
		}
		if err := os.Remove(filepath.Join(t.path, name)); err != nil {
			return failure(t.config.Out, err)
		}
	}
	m.Files = files
	if err := m.write(t.config.Out, path); err != nil {
		return fmt.Errorf("%w; the dataset itself is complete", err)
	}
	if err := syncFolder(t.path); err != nil {
		return fmt.Errorf("output %s is complete, but a power failure may still undo that: %w", t.config.Out, err)
	}
	return nil
}

// abort removes what was written. What was there before stays as it was.
func (t *folderTarget) abort() {
	for _, d := range t.shards {
		d.remove()
	}
	if t.done {
		return
	}
	for _, dir := range slices.Backward(t.made) {
		if os.Remove(dir) != nil { // somebody else's files are in it
			return
		}
	}
}

// fenced returns a text as a block of code in Markdown.
func fenced(text string) string {
	fence := "```"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	return fence + "\n" + strings.TrimRight(text, "\n") + "\n" + fence + "\n"
}
