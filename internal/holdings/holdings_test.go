package holdings

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/needtest"
)

const lease = 20 * time.Second

func open(t *testing.T, folder, uid, consumer string) *File {
	t.Helper()
	if bootID() == "" {
		needtest.Skip(t, "a system that says when it was started")
	}
	f, err := Open(folder, Owner{UID: uid, Consumer: consumer, Lease: lease})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// kill does what the end of a process does: the lock is gone, and the file stays.
func (f *File) kill(t *testing.T) {
	t.Helper()
	if err := f.lock.Close(); err != nil {
		t.Fatal(err)
	}
	_ = f.file.Close()
}

func takeOverAll(t *testing.T, folder, uid string, now time.Time) []Left {
	t.Helper()
	left, err := TakeOver(folder, uid, now)
	if err != nil {
		t.Fatal(err)
	}
	return left
}

func files(t *testing.T, folder string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func TestTheNextConsumerLearnsWhatADeadOneHeld(t *testing.T) {
	folder, now := filepath.Join(t.TempDir(), "held [1]"), time.Now()
	f := open(t, folder, "uid", "dead")
	f.Renewed("a", now.Add(-lease))
	f.Renewed("a", now) // renewed since
	f.Renewed("b", now)
	f.Renewed("c", now.Add(-lease*9/10)) // may have another holder by now
	f.Renewed("d", now.Add(time.Minute)) // the clock was set
	f.Renewed("e", now.Add(-lease/2))
	f.Released("b")
	if left := takeOverAll(t, folder, "uid", now); left != nil {
		t.Errorf("while it lives: %+v", left)
	}
	f.kill(t)
	if left := takeOverAll(t, folder, "another run", now); left != nil {
		t.Errorf("for another run: %+v", left)
	}
	if diff := cmp.Diff([]Left{{Consumer: "dead", Replies: []string{"a", "e"}}}, takeOverAll(t, folder, "uid", now)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if left := takeOverAll(t, folder, "uid", now); left != nil || len(files(t, folder)) != 0 {
		t.Errorf("a second time: %+v, %q", left, files(t, folder))
	}
}

func TestAConsumerThatEndsLeavesNothing(t *testing.T) {
	folder := t.TempDir()
	f := open(t, folder, "uid", "done")
	f.Renewed("a", time.Now())
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if names := files(t, folder); len(names) != 0 {
		t.Errorf("%q", names)
	}
	f.Released("a") // late, and does no harm
}

func TestWhatIsFromBeforeAStartOfTheMachineOrDamagedIsNotHandedBack(t *testing.T) {
	folder, now := t.TempDir(), time.Now()
	for name, change := range map[string]func(string) string{
		"another boot":    func(s string) string { return strings.Replace(s, bootID(), "another", 1) },
		"no header":       func(s string) string { return s[strings.Index(s, "\n")+1:] },
		"empty":           func(string) string { return "" },
		"half a line":     func(s string) string { return strings.TrimSuffix(s, "\n") },
		"nothing written": func(s string) string { return s[:strings.Index(s, "\n")+1] },
	} {
		f := open(t, folder, "uid", "dead")
		f.Renewed("a", now)
		f.kill(t)
		data, err := os.ReadFile(f.path)
		if err == nil {
			err = os.WriteFile(f.path, []byte(change(string(data))), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, left := range takeOverAll(t, folder, "uid", now) {
			if len(left.Replies) > 0 {
				t.Errorf("%s: %+v", name, left)
			}
		}
	}
}

func TestFilesOfOtherRunsAreForgottenAfterADay(t *testing.T) {
	folder, now := t.TempDir(), time.Now()
	open(t, folder, "earlier", "dead").kill(t)
	live := open(t, folder, "other", "alive")
	takeOverAll(t, folder, "uid", now.Add(forgetAfter/2))
	if names := files(t, folder); len(names) != 2 {
		t.Errorf("%q", names)
	}
	takeOverAll(t, folder, "uid", now.Add(2*forgetAfter))
	if diff := cmp.Diff([]string{"other.alive.held"}, files(t, folder)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if err := live.Close(); err != nil {
		t.Error(err)
	}
}

func TestTheFileStaysSmall(t *testing.T) {
	folder, now := t.TempDir(), time.Now()
	f := open(t, folder, "uid", "busy")
	reply := strings.Repeat("x", 1000)
	f.Renewed("kept", now)
	for range 5000 {
		f.Renewed(reply, now)
		f.Released(reply)
	}
	info, err := os.Stat(f.path)
	if err != nil || info.Size() > 2*rewriteAt || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", err, info)
	}
	f.kill(t)
	if diff := cmp.Diff([]Left{{Consumer: "busy", Replies: []string{"kept"}}}, takeOverAll(t, folder, "uid", now)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
