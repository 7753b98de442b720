//go:build !windows

package dataset

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAFolderMayBeALinkAndAFileAPipe(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	dir := inputFiles(t, map[string]string{"real/a.jsonl": `{"n":1}`})
	link, pipe := filepath.Join(dir, "link"), filepath.Join(dir, "pipe")
	if err := os.Symlink(filepath.Join(dir, "real"), link); err != nil {
		t.Fatal(err)
	}
	s, rows := readSource(t, SourceOptions{Inputs: []string{link}})
	if diff := cmp.Diff([]string{`{"n":1}`}, rows); diff != "" || s.Files()[0].Path != filepath.Join(link, "a.jsonl") {
		t.Errorf("%s (-want +got):\n%s", s.Files()[0].Path, diff)
	}
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	written := make(chan error)
	go func() { written <- os.WriteFile(pipe, []byte("{\"n\":2}\n"), 0o600) }()
	r, err := Open(pipe)
	if err != nil {
		t.Fatal(err)
	}
	rows, err = readAll(r)
	if diff := cmp.Diff([]string{`{"n":2}`}, rows); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if err := errors.Join(<-written, r.Close()); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(os.Getenv("TMPDIR")); len(left) > 0 {
		t.Errorf("%s is left", left[0].Name())
	}
}
