package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// mostFiles is how many files a source may have.
const mostFiles = 100_000

// An expansion collects the files that inputs stand for.
type expansion struct {
	files   []InputFile
	leftOut []string
	seen    map[string]bool
	again   int // files that were named once more
}

// usable returns how many files were named that can be read.
func (e *expansion) usable() int { return len(e.files) + e.again }

// add adds what one input stands for.
func (e *expansion) add(input string) error {
	info, err := os.Stat(input)
	switch {
	case err == nil && info.IsDir():
		return e.addFolder(input)
	case err == nil && !info.Mode().IsRegular(): // a pipe can be read once
		file := &lazyFile{path: input}
		e.files = append(e.files, InputFile{Path: input, spool: &spool{in: file, name: input}})
		return nil
	case err == nil:
		return e.addFile(input, info.Size())
	case strings.ContainsAny(input, "*?["):
		return e.addPattern(input)
	case strings.Contains(input, "://"):
		return fmt.Errorf("dataset %s is an address, not a file: download it and name the file", input)
	}
	return missing(input, err)
}

// addFile adds a file, unless it is there already.
func (e *expansion) addFile(name string, size int64) error {
	key, err := filepath.Abs(name)
	if err != nil {
		key = name
	}
	switch {
	case e.seen[key]:
		e.leftOut = append(e.leftOut, name+": it is read already")
		e.again++
		return nil
	case len(e.files) >= mostFiles:
		return fmt.Errorf("more than %d files are named: put their rows into fewer", mostFiles)
	case e.seen == nil:
		e.seen = map[string]bool{}
	}
	e.seen[key] = true
	e.files = append(e.files, InputFile{Path: name, Size: size})
	return nil
}

// addFound adds a file of a folder or a pattern, unless it holds something else than rows.
func (e *expansion) addFound(name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return openError(name, err)
	}
	if reason := leaveOut(name, info); reason != "" {
		e.leftOut = append(e.leftOut, name+": "+reason)
		return nil
	}
	return e.addFile(name, info.Size())
}

// addFolder adds the files below a folder.
func (e *expansion) addFolder(folder string) error {
	before, left := e.usable(), len(e.leftOut)
	var found []string
	root := folder
	if info, err := os.Lstat(folder); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		root += string(filepath.Separator) // or a link would not be followed
	}
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return openError(name, err)
		case entry.IsDir() && name != root && strings.HasPrefix(entry.Name(), "."):
			e.leftOut = append(e.leftOut, name+": it is hidden")
			return fs.SkipDir
		case entry.IsDir():
			return nil
		case strings.HasSuffix(entry.Name(), ".arrow") && isSaved(filepath.Dir(name)):
			return fmt.Errorf("dataset %s was written by save_to_disk of the library datasets, as Arrow files: write it as Parquet, which keeps every number (to_json rounds), with: %s", folder, savedToDisk(filepath.Dir(name)))
		case len(found) >= mostFiles:
			return fmt.Errorf("dataset %s has more than %d files: put their rows into fewer", folder, mostFiles)
		}
		found = append(found, name)
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(found, natural)
	for _, name := range found {
		if err := e.addFound(name); err != nil {
			return err
		}
	}
	if e.usable() == before && len(e.leftOut) == left {
		return fmt.Errorf("dataset %s is an empty folder: name a file, or the folder that has the files", folder)
	}
	if e.usable() == before {
		return fmt.Errorf("dataset %s is a folder without a file that can be read (JSON, CSV, TSV, Parquet): %s", folder, few(e.leftOut[left:]))
	}
	return nil
}

// addPattern adds the files whose names match.
func (e *expansion) addPattern(pattern string) error {
	found, err := matches(pattern)
	if err != nil {
		return fmt.Errorf("dataset %s: %w", pattern, err)
	}
	before, left := e.usable(), len(e.leftOut)
	slices.SortFunc(found, natural)
	for _, name := range found {
		info, err := os.Stat(name)
		switch {
		case err != nil:
			return openError(name, err)
		case info.IsDir():
			err = e.addFolder(name)
		default:
			err = e.addFound(name)
		}
		if err != nil {
			return err
		}
	}
	switch {
	case len(found) == 0:
		return fmt.Errorf("dataset %s: no file has a name like that: %s", pattern, instead(pattern))
	case e.usable() == before && len(e.leftOut) > left:
		return fmt.Errorf("dataset %s: no file like that can be read: %s", pattern, few(e.leftOut[left:]))
	}
	return nil
}

// matches returns the paths that match a pattern. In a folder's place ** stands for any number of
// folders.
func matches(pattern string) ([]string, error) {
	base, deep, found := strings.Cut(filepath.ToSlash(pattern), "**/")
	if !found {
		names, err := filepath.Glob(pattern)
		if err != nil {
			return nil, errors.New("the pattern is not complete: close its bracket, or put a backslash before it")
		}
		return names, nil
	}
	root := strings.TrimSuffix(base, "/")
	if root == "" {
		root = "."
	}
	var names []string
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return openError(name, err)
		}
		if name != root && strings.HasPrefix(entry.Name(), ".") {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		parts := strings.Split(filepath.ToSlash(name), "/")
		last := strings.Join(parts[max(0, len(parts)-1-strings.Count(deep, "/")):], "/")
		if ok, err := path.Match(deep, last); err != nil {
			return errors.New("the pattern is not complete: close its bracket, or put a backslash before it")
		} else if ok && !entry.IsDir() {
			names = append(names, name)
		}
		return nil
	})
	return names, err
}

// leaveOut returns why a file that was found is not read, or nothing.
func leaveOut(name string, info fs.FileInfo) string {
	base := strings.ToLower(filepath.Base(name))
	switch {
	case strings.HasPrefix(base, "."):
		return "it is hidden"
	case !info.Mode().IsRegular():
		return "it is no file"
	case strings.HasPrefix(base, "readme"), strings.HasPrefix(base, "license"), strings.HasSuffix(base, ".md"), strings.HasPrefix(base, "changelog"):
		return "it describes the data"
	case base == "dataset_info.json", base == "dataset_infos.json", base == "dataset_dict.json", base == "state.json", base == "croissant.json", base == "_metadata", base == "_common_metadata", base == "_success":
		return "it describes the data"
	case isDataName(base):
		return "" // what is wrong with it is said when it is opened
	}
	return notData(name)
}

// isDataName reports whether a file is called as files with rows are.
func isDataName(name string) bool {
	for _, packed := range []string{".gz", ".zst", ".zstd", ".bz2", ".xz"} {
		name = strings.TrimSuffix(name, packed)
	}
	return slices.Contains([]string{".jsonl", ".ndjson", ".json", ".jsonlines", ".csv", ".tsv", ".parquet", ".arrow"}, filepath.Ext(name))
}

// notData returns why a file with another name is not read: its content is no rows of JSON or
// Parquet.
func notData(name string) string {
	file, err := os.Open(name)
	if err != nil {
		return fmt.Sprintf("it cannot be opened: %v", pathless(err))
	}
	defer file.Close()
	head := make([]byte, 4<<10)
	n, _ := file.Read(head)
	head = head[:n]
	text := bytes.TrimLeft(bytes.TrimPrefix(head, []byte(byteOrderMark)), whitespace)
	switch what := foreign(head, name); {
	case n == 0:
		return "it is empty"
	case isParquet(head), isZstd(head[:min(n, 4)]), bytes.HasPrefix(head, []byte("\x1f\x8b")), hasObject(text):
		return ""
	case len(text) > 1 && text[0] == '[' && bytes.HasPrefix(bytes.TrimLeft(text[1:], whitespace), []byte("{")), len(text) > 0 && text[0] == '{':
		return ""
	case what != "":
		what, _, _ = strings.Cut(what, ":")
		what, _, _ = strings.Cut(what, ",")
		return "it " + what
	}
	return "its name and its beginning are not those of rows"
}

// few joins some reasons.
func few(reasons []string) string {
	if len(reasons) > mostNames {
		return fmt.Sprintf("%s; and %d more", strings.Join(reasons[:mostNames], "; "), len(reasons)-mostNames)
	}
	return strings.Join(reasons, "; ")
}

// missing returns the error for a path that cannot be opened, with names that there are.
func missing(name string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return openError(name, err)
	}
	return fmt.Errorf("dataset %s cannot be opened: %w: check the path; %s", name, pathless(err), instead(name))
}

// instead says what a folder has.
func instead(name string) string {
	folder := filepath.Dir(name)
	for strings.ContainsAny(folder, "*?[") {
		folder = filepath.Dir(folder)
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Sprintf("there is no folder %s", folder)
	}
	var names []string
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), ".") {
			names = append(names, entry.Name())
		}
	}
	slices.SortFunc(names, natural)
	if len(names) == 0 {
		return fmt.Sprintf("the folder %s is empty", folder)
	}
	return fmt.Sprintf("the folder %s has %s", folder, list(names))
}

// natural compares names so that numbers in them are in the order of their values.
func natural(a, b string) int {
	full := strings.Compare(a, b)
	for a != "" && b != "" {
		m, n := leadingDigits(a), leadingDigits(b)
		if m > 0 && n > 0 {
			x, y := strings.TrimLeft(a[:m], "0"), strings.TrimLeft(b[:n], "0")
			if len(x) != len(y) {
				return len(x) - len(y)
			}
			if c := strings.Compare(x, y); c != 0 {
				return c
			}
			a, b = a[m:], b[n:]
			continue
		}
		if a[0] != b[0] {
			// A folder comes before the names that go on.
			switch {
			case a[0] == filepath.Separator:
				return -1
			case b[0] == filepath.Separator:
				return 1
			}
			return int(a[0]) - int(b[0])
		}
		a, b = a[1:], b[1:]
	}
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return full
}

func leadingDigits(s string) int {
	n := 0
	for n < len(s) && s[n]-'0' <= 9 {
		n++
	}
	return n
}

// A lazyFile is opened when it is read, and closed at its end.
type lazyFile struct {
	path string
	file *os.File
}

func (l *lazyFile) Read(p []byte) (int, error) {
	if l.file == nil {
		file, err := os.Open(l.path)
		if err != nil {
			return 0, openError(l.path, err)
		}
		l.file = file
	}
	n, err := l.file.Read(p)
	if err == nil {
		return n, nil
	}
	if failed := l.file.Close(); err == io.EOF && failed != nil {
		err = failed
	}
	return n, err
}
