package store_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"gleaner/internal/pipeline"
	"gleaner/internal/store"
)

// crashStore returns the URI of a file with the run that write writes to.
func crashStore(t *testing.T) string {
	t.Helper()
	uri := "sqlite:" + filepath.Join(t.TempDir(), "store.db")
	s := open(t, uri)
	ctx := t.Context()
	_, _, err := s.CreateRun(ctx, pipeline.Run{Name: "crash", Items: 4 * childBatches, Spec: pipeline.Spec{Samples: 1}})
	var items []pipeline.Item
	for i := range 4 * childBatches {
		items = append(items, pipeline.Item{Run: "crash", Seq: i, Input: []byte("{}")})
	}
	var batches []pipeline.Batch
	for i := range childBatches {
		batches = append(batches, pipeline.Batch{Run: "crash", Index: i, First: 4 * i, Count: 4, State: pipeline.Queued, Round: 1})
	}
	for first := 0; first < len(items) && err == nil; first += store.LoadChunk {
		err = s.PutItems(ctx, items[first:min(first+store.LoadChunk, len(items))])
	}
	if err = errors.Join(err, s.PutBatches(ctx, batches), s.Seal(ctx, "crash", childBatches), s.Close()); err != nil {
		t.Fatal(err)
	}
	return uri
}

// child starts this test binary as a process that runs write. Its output is the batches that were
// acknowledged.
func child(t *testing.T, uri string, first int) (*exec.Cmd, io.Reader) {
	t.Helper()
	cmd := exec.Command(os.Args[0], strconv.Itoa(first))
	cmd.Env = append(os.Environ(), childVariable+"="+uri)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

func TestTwoProcessesWriteToOneFile(t *testing.T) {
	uri := crashStore(t)
	var group errgroup.Group
	for _, first := range []int{0, childBatches / 2} {
		cmd, out := child(t, uri, first)
		group.Go(func() error {
			_, err := io.Copy(io.Discard, out)
			return errors.Join(err, cmd.Wait())
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	tokens := 0
	s := open(t, uri)
	for a, err := range s.Answers(t.Context(), "crash") {
		if err != nil || a.Result == nil {
			t.Fatal(a, err)
		}
		tokens += a.Result.OutputTokens
	}
	p, err := s.Progress(t.Context(), "crash", time.Time{})
	if err != nil || p.Batches[pipeline.Done] != childBatches || p.Stored != 4*childBatches || p.OutputTokens != tokens {
		t.Fatalf("%+v with %d tokens, %v", p, tokens, err)
	}
}

func TestWhatIsAcknowledgedSurvivesKill(t *testing.T) {
	uri := crashStore(t)
	acknowledged := map[int]bool{}
	for _, lines := range []int{1, 40, 80} {
		cmd, out := child(t, uri, lines)
		scan := bufio.NewScanner(out)
		for n := 0; n < lines && scan.Scan(); n++ {
			batch, err := strconv.Atoi(scan.Text())
			if err != nil {
				t.Fatal(err)
			}
			acknowledged[batch] = true
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // killed
	}
	s := open(t, uri)
	stored := map[int]int{}
	for a, err := range s.Answers(t.Context(), "crash") {
		if err != nil {
			t.Fatal(err)
		}
		if a.Result != nil {
			stored[a.Result.Batch]++
		}
	}
	for batch := range acknowledged {
		if stored[batch] != 4 {
			t.Errorf("batch %d was acknowledged and has %d results", batch, stored[batch])
		}
	}
	done, err := s.Batches(t.Context(), "crash", pipeline.Done, 0, childBatches)
	if err != nil || len(done) != len(stored) {
		t.Errorf("%d batches are done, %d have results: %v", len(done), len(stored), err)
	}
}

func TestManyProcessesMakeOneFile(t *testing.T) {
	uri := "sqlite:" + filepath.Join(t.TempDir(), "store.db")
	var group errgroup.Group
	for range 6 {
		group.Go(func() error {
			s, err := store.Open(t.Context(), uri)
			if err != nil {
				return err
			}
			return errors.Join(s.Ping(t.Context()), s.Close())
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

func TestAFileThatCannotBeUsedIsExplained(t *testing.T) {
	folder := t.TempDir()
	text := filepath.Join(folder, "notes.txt")
	damaged := filepath.Join(folder, "damaged.db")
	foreign := filepath.Join(folder, "foreign.db")
	for path, content := range map[string]string{
		text: strings.Repeat("not a database at all\n", 100), damaged: "SQLite format 3\x00" + strings.Repeat("\x13", 8000),
	} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	makeForeign(t, foreign)
	locked := filepath.Join(folder, "locked")
	if err := os.Mkdir(locked, 0o555); err != nil {
		t.Fatal(err)
	}
	cases := []struct{ path, want string }{
		{folder, "this is a folder"},
		{text, "not a SQLite file"},
		{damaged, "not a SQLite file"},
		{foreign, "another program"},
		{filepath.Join(text, "x.db"), "make its folder"},
		{"", "the path is missing"},
		{":memory:", "the path is missing"},
		{"//relative/x.db", "with no //"},
	}
	if os.Geteuid() > 0 { // a superuser may write everywhere, and Windows has no such thing
		cases = append(cases, struct{ path, want string }{filepath.Join(locked, "x.db"), "must be allowed to write"})
	}
	if _, err := os.Stat("/proc/version"); err == nil { // a folder in which no file can be created
		cases = append(cases, struct{ path, want string }{"/proc/x.db", "must be allowed to write"})
	}
	for _, c := range cases {
		s, err := store.Open(t.Context(), "sqlite:"+c.path)
		if err == nil {
			t.Errorf("%s: opened: %v", c.path, s.Close())
			continue
		}
		t.Log(err)
		if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "sqlite:"+c.path) || pipeline.ClassOf(err) != pipeline.Fatal {
			t.Errorf("%s: got a %s error %q, want %q in it", c.path, pipeline.ClassOf(err), err, c.want)
		}
	}
	if content, err := os.ReadFile(text); err != nil || !strings.HasPrefix(string(content), "not a database") {
		t.Errorf("the file was changed: %v", err)
	}
}

func TestAFileThatIsDamagedLaterIsAFatalError(t *testing.T) {
	uri := crashStore(t)
	path := strings.TrimPrefix(uri, "sqlite:")
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	for offset := int64(4096); offset+4096 <= info.Size(); offset += 4096 {
		if _, err := file.WriteAt([]byte(strings.Repeat("\xee", 100)), offset); err != nil {
			t.Fatal(err)
		}
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), uri)
	if err == nil {
		t.Cleanup(func() { _ = s.Close() })
		_, err = s.WriteResults(t.Context(), []pipeline.Results{crashResults(0, 0)}, time.Now())
	}
	t.Log(err)
	if err == nil || pipeline.ClassOf(err) != pipeline.Fatal || !strings.Contains(err.Error(), "the file is damaged") {
		t.Errorf("got %v", err)
	}
}

func TestAWriterThatWaitsForTheLockEndsWithItsContext(t *testing.T) {
	uri := crashStore(t)
	release := holdLock(t, strings.TrimPrefix(uri, "sqlite:"))
	defer release()
	s := open(t, uri)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := s.WriteResults(ctx, []pipeline.Results{crashResults(0, 0)}, time.Now())
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if _, err := s.Progress(t.Context(), "crash", time.Time{}); err != nil {
		t.Errorf("a reader waits for a writer: %v", err)
	}
}
