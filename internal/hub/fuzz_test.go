package hub

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"
)

// offline is a client that asks nothing of anyone.
func offline(t testing.TB) *client {
	c, err := newClient(Config{Offline: true, CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func FuzzAnAddressIsUnderstoodOrRefused(f *testing.F) {
	for _, s := range []string{"hf://datasets/openai/gsm8k@refs/pr/1/main/x.parquet", "https://user:pw@[::1]:8/a?b#c", "hf://datasets/a/b@%2e%2e/x", "https://huggingface.co/datasets/a/b/blob/main/c%2Fd", "HF://datasets/a/b\x1b"} {
		f.Add(s)
	}
	c := offline(f)
	f.Fuzz(func(t *testing.T, input string) {
		got, err := c.parse(input)
		if err != nil {
			if strings.ContainsFunc(err.Error(), func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }) {
				t.Errorf("%q: the error has control characters: %q", input, err)
			}
			return
		}
		if got.repo == "" {
			return
		}
		if folder := c.datasetFolder(got); !strings.HasPrefix(folder, c.cfg.CacheDir) || strings.Contains(folder, "..") {
			t.Errorf("%q is kept in %s", input, folder)
		}
		if again, err := c.parse(datasetScheme + got.repo + "/" + got.path); got.revision == "" && got.path != "" && (err != nil || again.path != got.path) {
			t.Errorf("%q has the path %q, which is read again as %q, %v", input, got.path, again.path, err)
		}
	})
}

func FuzzACardIsReadOrRefused(f *testing.F) {
	f.Add([]byte("---\nconfigs:\n- config_name: a\n  data_files:\n  - split: train\n    path: [x/*, '**/[0-9]?']\n---\n"), "train", "x/1.jsonl")
	f.Add([]byte("---\na: &a [*a, *a]\nconfigs: *a\n---\n"), "", "train/x.csv")
	f.Add([]byte("---\nconfigs: &a\n- config_name: x\n  data_files: *a\n---"), "", "data/t-00000-of-00001.parquet")
	f.Fuzz(func(t *testing.T, readme []byte, split, path string) {
		head, err := readCard(readme)
		if err != nil {
			return
		}
		l := listing{Entries: []entry{{Path: path, OID: strings.Repeat("0", 40)}}}
		for _, s := range append(head.subsets, subset{}) {
			got, err := chooser{target{repo: "a/b"}, l, head}.choose(s.name, split)
			if err == nil && (len(got.files) != 1 || got.files[0].Path != path) {
				t.Errorf("%q of %q gave %+v", s.name, readme, got)
			}
		}
	})
}

func FuzzAGlobMatchesOrNot(f *testing.F) {
	f.Add("**/*[-._ 0-9]train[!a-z]*/**", "a/x train.b/c")
	f.Add("[]a]?[z-a][", "]b[z-a][")
	f.Fuzz(func(t *testing.T, pattern, file string) {
		g, err := newGlob(pattern)
		if err != nil {
			return
		}
		g.matches(file)
		if !hasMagic(pattern) && !strings.HasPrefix(pattern, "./") && pattern != "" && !g.match.MatchString(pattern) {
			t.Errorf("%q does not match itself", pattern)
		}
	})
}

func TestNamesOfFilesAreSafe(t *testing.T) {
	for name, want := range map[string]string{
		"train.jsonl": "train.jsonl", "": "_", ".": "_", "..": "_", "a/b": "a_b", `a\b:c`: "a_b_c", "x\x00y\n": "x_y_", "a.": "a._", "\xff.csv": "_.csv",
	} {
		if got := safeName(name); got != want {
			t.Errorf("%q becomes %q, want %q", name, got, want)
		}
	}
	if got := safeName(strings.Repeat("é", 300) + ".parquet"); len(got) > 160 || !strings.HasSuffix(got, ".parquet") {
		t.Errorf("a long name becomes %q", got)
	}
}

func TestNumbersInNamesAreOrderedByValue(t *testing.T) {
	ordered := []string{"a1", "a2", "a02", "a10", "a10b", "a99999999999999999999", "b"}
	for i := range ordered {
		for j := range ordered {
			got := natural(ordered[i], ordered[j])
			if i < j && got >= 0 && ordered[i] != "a2" || i == j && got != 0 || i > j && got <= 0 && ordered[j] != "a2" {
				t.Errorf("%s and %s compare as %d", ordered[i], ordered[j], got)
			}
		}
	}
}

func TestAFullDiskIsNamedWithWhatToDo(t *testing.T) {
	for err, say := range map[error]string{
		syscall.ENOSPC: "no room left", syscall.EROFS: "XDG_CACHE_HOME", os.ErrPermission: "XDG_CACHE_HOME", errors.New("other"): "other",
	} {
		got := diskError(fmt.Errorf("write: %w", err), "/cache")
		if !strings.Contains(got.Error(), say) || !errors.Is(got, err) || !strings.Contains(got.Error(), "/cache") {
			t.Errorf("%v becomes %v", err, got)
		}
	}
}

func TestHowLongToWaitIsReadFromEachHeader(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		name, value string
		want        time.Duration
	}{
		{"Retry-After", "3", 3 * time.Second},
		{"Retry-After", "-3", 0},
		{"Retry-After", "soon", 0},
		{"Retry-After", "Fri, 02 Jan 2026 03:04:15 GMT", 10 * time.Second},
		{"Retry-After", "Fri, 02 Jan 2026 03:04:00 GMT", 0},
		{"RateLimit", `"api";r=0;t=55`, 55 * time.Second},
		{"RateLimit", `"api";r=7;t=55`, 0},
	} {
		if got := retryAfter(http.Header{http.CanonicalHeaderKey(c.name): {c.value}}, now); got != c.want {
			t.Errorf("%s: %s is %s, want %s", c.name, c.value, got, c.want)
		}
	}
}

func TestAPointerIsAnsweredWithWhereTheFileIs(t *testing.T) {
	folder := t.TempDir()
	file := folder + "/p"
	if err := os.WriteFile(file, []byte("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := offline(t)
	for input, say := range map[string]string{
		"https://raw.githubusercontent.com/a/b/main/c.csv": "https://media.githubusercontent.com/media/a/b/main/c.csv",
		"https://github.com/a/b/raw/main/d/c.csv":          "https://media.githubusercontent.com/media/a/b/main/d/c.csv",
		"https://mirror.example/datasets/a/b/raw/main/c":   "/resolve/ in the place of /raw/",
		"https://example.com/c":                            "git lfs pull",
	} {
		got, err := c.parse(input)
		if err != nil {
			t.Fatal(err)
		}
		if err := (download{url: got.url, shown: input, partFile: file}).checkPointer(); err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("%s: %v", input, err)
		}
	}
	if !regexp.MustCompile(`GitHub's page .* https://github.com/a/b/raw/main/c.csv$`).MatchString(func() string {
		got, _ := c.parse("https://github.com/a/b/blob/main/c.csv")
		return c.pageError("x", got.url, []byte("<html>")).Error()
	}()) {
		t.Error("GitHub's page about a file is not answered with the file")
	}
}
