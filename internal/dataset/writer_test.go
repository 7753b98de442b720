package dataset

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"gleaner/internal/needtest"
)

// files returns the names of the files in a folder.
func files(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		path := filepath.Join(dir, "rows.jsonl"+rapid.SampledFrom([]string{"", ".gz", ".zst"}).Draw(rt, "suffix"))
		var want []string
		w, err := Create(path)
		if err != nil {
			rt.Fatal(err)
		}
		defer w.Abort()
		for range rapid.IntRange(1, 20).Draw(rt, "rows") {
			row := object(rt, rapid.SliceOfNDistinct(rapid.String(), 0, 4, rapid.ID[string]).Draw(rt, "names"))
			want = append(want, string(row))
			if err := w.Write(row); err != nil {
				rt.Fatal(err)
			}
		}
		if err := w.Commit(); err != nil {
			rt.Fatal(err)
		}
		r, err := Open(path)
		if err != nil {
			rt.Fatal(err)
		}
		defer r.Close()
		got, err := readAll(r)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			rt.Errorf("%v (-want +got):\n%s", err, diff)
		}
	})
}

func TestTheSuffixAsksForCompression(t *testing.T) {
	dir := t.TempDir()
	for name, magic := range map[string]string{"a": "{}\n", "a.gz": "\x1f\x8b", "a.zst": "\x28\xb5\x2f\xfd"} {
		path := filepath.Join(dir, name)
		write(t, path, "{}")
		content, err := os.ReadFile(path)
		if err != nil || !strings.HasPrefix(string(content), magic) {
			t.Errorf("%s begins with %.4q, %v", name, content, err)
		}
	}
}

func write(t testing.TB, path string, rows ...string) {
	t.Helper()
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	for _, row := range rows {
		if err := w.Write([]byte(row)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
}

func TestTheFileAppearsUnderItsNameAtCommit(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out.jsonl")
	if err := os.WriteFile(path, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write([]byte("{}")); err != nil {
		t.Fatal(err)
	}
	if content, _ := os.ReadFile(path); string(content) != "old" {
		t.Errorf("before: %q", content)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	w.Abort()
	if content, _ := os.ReadFile(path); string(content) != "{}\n" {
		t.Errorf("after: %q", content)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if diff := cmp.Diff([]string{"out.jsonl"}, files(t, dir)); diff != "" {
		t.Error(diff)
	}
	if w.Write([]byte("{}")) == nil || w.Commit() == nil {
		t.Error("a committed dataset can still be written")
	}
}

func TestAbortLeavesWhatWasThere(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "out.jsonl"), `{"old":1}`)
	w, err := Create(filepath.Join(dir, "out.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write([]byte("{}")); err != nil {
		t.Fatal(err)
	}
	w.Abort()
	w.Abort()
	if content, _ := os.ReadFile(filepath.Join(dir, "out.jsonl")); string(content) != "{\"old\":1}\n" {
		t.Errorf("%q", content)
	}
	if diff := cmp.Diff([]string{"out.jsonl"}, files(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestALinkStaysALink(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "real.jsonl"), `{"old":1}`)
	link := filepath.Join(dir, "link.jsonl")
	if err := os.Symlink("real.jsonl", link); err != nil {
		needtest.Skip(t, "no links here: %v", err)
	}
	write(t, link, "{}")
	if content, _ := os.ReadFile(filepath.Join(dir, "real.jsonl")); string(content) != "{}\n" {
		t.Errorf("%q", content)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link became %v, %v", info.Mode(), err)
	}
}

func TestAFailedWriteRemovesTheTemporaryFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out.jsonl")
	write(t, path, `{"old":1}`)
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.file.Close(); err != nil { // like a disk that fails
		t.Fatal(err)
	}
	row := []byte(`{"text":"` + strings.Repeat("x", bufferSize) + `"}`)
	err = w.Write(row)
	if !errors.Is(err, os.ErrClosed) || !strings.HasPrefix(err.Error(), "output "+path+" cannot be written: ") {
		t.Errorf("write: %v", err)
	}
	if again := w.Commit(); again != err {
		t.Errorf("commit: %v", again)
	}
	if content, _ := os.ReadFile(path); string(content) != "{\"old\":1}\n" {
		t.Errorf("%q", content)
	}
	if diff := cmp.Diff([]string{"out.jsonl"}, files(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestAFullDiskIsNamedAndADeviceStaysADevice(t *testing.T) {
	info, err := os.Stat("/dev/full")
	if err != nil {
		needtest.Skip(t, "no /dev/full here")
	}
	w, err := Create("/dev/full")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write([]byte("{}")); err != nil {
		t.Fatal(err)
	}
	err = w.Commit()
	if !errors.Is(err, syscall.ENOSPC) || err.Error() != "output /dev/full cannot be written: no space left on device: free some space or choose another disk" {
		t.Error(err)
	}
	if now, err := os.Stat("/dev/full"); err != nil || !os.SameFile(info, now) {
		t.Errorf("/dev/full was replaced: %v", err)
	}
}

func TestARowIsExactlyOneLine(t *testing.T) {
	for _, row := range []string{"", "{\n}"} {
		w, err := Create(filepath.Join(t.TempDir(), "out.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write([]byte(row)); err == nil || !strings.Contains(err.Error(), "a row must be exactly one line") {
			t.Errorf("%q: %v", row, err)
		}
	}
}

func TestCreateSaysWhatIsWrongWithAPath(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ path, want string }{
		{dir, " is a folder: name a file in it"},
		{filepath.Join(dir, "none", "out.jsonl"), " cannot be written: no such file or directory: create its folder first"},
	} {
		if _, err := Create(c.path); err == nil || err.Error() != "output "+c.path+c.want {
			t.Errorf("Create(%s): %v", c.path, err)
		}
	}
}
