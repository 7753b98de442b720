package hub

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A local is a file of a folder that is pushed.
type local struct {
	path    string // in the dataset
	file    string // on this machine
	size    int64  // bytes
	content content
	large   bool // as the hub says: it goes to the storage host
}

// readFolder lists and hashes the files of a folder. What is hidden is left out; a link is an
// error, since what it leads to may be anything.
func readFolder(ctx context.Context, folder string) (files []local, err error) {
	err = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		relative, relErr := filepath.Rel(folder, path)
		switch {
		case err != nil || relErr != nil:
			return errors.Join(err, relErr)
		case path == folder:
			if !d.IsDir() {
				return errors.New("it is no folder: give the folder that an export wrote")
			}
			return nil
		case strings.HasPrefix(d.Name(), ".") && d.IsDir():
			return fs.SkipDir
		case strings.HasPrefix(d.Name(), ".") || d.IsDir():
			return nil
		case !d.Type().IsRegular():
			return fmt.Errorf("%s is no regular file: put a copy of what is meant there", relative)
		case len(files) >= maxFiles:
			return fmt.Errorf("it has more than %d files", maxFiles)
		}
		f := local{path: filepath.ToSlash(relative), file: path}
		if err := f.hash(ctx); err != nil {
			return err
		}
		files = append(files, f)
		return nil
	})
	if err == nil && len(files) == 0 {
		err = errors.New("it has no files: export into it first")
	}
	return files, err
}

// hash reads the file once for its size and both hashes.
func (f *local) hash(ctx context.Context) error {
	file, err := os.Open(f.file)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	f.size = info.Size()
	large, git := sha256.New(), gitHash(f.size)
	n, err := io.Copy(io.MultiWriter(large, git), until{ctx, file})
	switch {
	case err != nil:
		return err
	case n != f.size:
		return fmt.Errorf("%s changes while it is read: push once its export is done", f.file)
	}
	f.content = content{hex.EncodeToString(large.Sum(nil)), hex.EncodeToString(git.Sum(nil))}
	return nil
}

// sample returns the beginning of the file, from which the hub tells text from other data.
func (f *local) sample() ([]byte, error) {
	file, err := os.Open(f.file)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, 512))
}

// manifestOf reads what earlier pushes have written; nothing where there was none.
func (c *client) manifestOf(ctx context.Context, t target, there listing) (manifest, error) {
	var last manifest
	e, ok := there.find(manifestName)
	if !ok {
		return last, nil
	}
	if e.Size > maxManifest {
		return last, fmt.Errorf("%s: its %s has %s, which no push of ours wrote", t.name(), manifestName, size(e.Size))
	}
	files, err := c.download(ctx, t, there.Commit, []entry{e})
	if err != nil {
		return last, err
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		return last, fmt.Errorf("%s: %w", t.name(), err)
	}
	if err := json.Unmarshal(data, &last); err != nil {
		return manifest{}, fmt.Errorf("%s: its %s says what earlier pushes wrote, and cannot be understood: %w; delete it there if all files may stay", t.name(), manifestName, err)
	}
	return last, nil
}

// encode returns the file of a manifest.
func (m manifest) encode() []byte {
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("a manifest cannot be written as JSON: %v", err)) // this program is wrong
	}
	return append(data, '\n')
}
