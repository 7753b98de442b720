package jobfile

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// TagPath marks a flag whose value is a path: a relative one in a file is one from the folder of
// the file. Its value says what the flag takes, with commas between:
//
//	file     a path, or a pattern of paths; -, run:NAME and addresses, such as https://…, are none
//	content  or what could be in the file: several lines, or { or ----- at the beginning
//	program  or a name without a slash, which PATH leads to
//	=WORD    or this word
//	sqlite   a path stands behind sqlite: at the beginning, and nowhere else
//	at       a path stands behind an @ at the beginning, or behind NAME=@
const TagPath = "path"

// pathOf returns a value of a flag, if it is a path, seen from the working folder.
func (f *Job) pathOf(flag *kong.Flag, value string) string {
	kinds := strings.Split(flag.Tag.Get(TagPath), ",")
	has := func(kind string) bool { return slices.Contains(kinds, kind) }
	switch {
	case has("sqlite"):
		if path, ok := strings.CutPrefix(value, "sqlite:"); ok && !strings.HasPrefix(path, "file:") && !strings.HasPrefix(path, ":") {
			return "sqlite:" + f.join(path)
		}
		return value
	case has("at"):
		name, rest, found := strings.Cut(value, "=")
		if !found {
			name, rest = "", value
		} else {
			name += "="
		}
		if path, ok := strings.CutPrefix(rest, "@"); ok {
			return name + "@" + f.join(path)
		}
		return value
	case !has("file"), value == "", value == "-", has("=" + value), strings.Contains(value, "://"), strings.HasPrefix(value, "run:"):
		return value
	case has("content") && (strings.Contains(value, "\n") || strings.HasPrefix(value, "{") || strings.HasPrefix(value, "-----") || strings.HasPrefix(value, "gleaner1.")):
		return value
	case has("program") && !strings.ContainsAny(value, `/\`):
		return value
	}
	return f.join(value)
}

// join returns a path of the file, seen from the working folder. A slash at its end, which says
// that it is a folder, stays, as does a pattern.
func (f *Job) join(path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return home + "/" + rest
		}
	}
	if path == "" || f.folder == "" || filepath.IsAbs(path) {
		return path
	}
	folder := f.folder
	if strings.ContainsAny(path, "*?[") { // what is a pattern in the folder's own name is none
		folder = strings.NewReplacer("*", "[*]", "?", "[?]", "[", "[[]").Replace(folder)
	}
	return strings.TrimRight(folder, "/") + "/" + path
}
