package dataset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A pipe that is read for the second time begins with what was kept of it, and goes on with what
// comes: it is not waited for until it is at its end.
func TestAPipeIsReadFromItsBeginningWhileItIsWritten(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	out, in := io.Pipe()
	defer out.Close()
	const chunk = 20_000 // rows, more than any buffer holds
	more := make(chan struct{})
	go func() {
		for n := range 2 * chunk {
			if n == chunk {
				<-more
			}
			fmt.Fprintf(in, "{\"n\":%d}\n", n)
		}
		in.Close()
	}()
	s, err := NewSource(SourceOptions{Inputs: []string{"-"}, Stdin: out})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for pass, rows := range []int{10, 2 * chunk, 2 * chunk} {
		r, err := s.Open()
		if err != nil {
			t.Fatal(err)
		}
		for n := range rows {
			row, err := r.Next()
			if want := fmt.Sprintf(`{"n":%d}`, n); err != nil || string(row) != want {
				t.Fatalf("pass %d: %s, %v, want %s", pass, row, err, want)
			}
			if pass == 1 && n == 10 {
				close(more)
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheWaitForAPipeEndsWithTheContext(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	out, in := io.Pipe()
	defer in.Close() // ends the read that was left behind
	ctx, cancel := context.WithCancel(t.Context())
	s, err := NewSource(SourceOptions{Inputs: []string{"-"}, Stdin: out, Context: ctx})
	if err != nil {
		t.Fatal(err)
	}
	began := make(chan struct{})
	go func() {
		_, _ = io.WriteString(in, "{\"n\":1}\n")
		close(began)
	}()
	ended := make(chan error)
	go func() {
		r, err := s.Open()
		for err == nil {
			_, err = r.Next()
		}
		ended <- err
	}()
	<-began
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(os.Getenv("TMPDIR")); len(left) > 0 {
		t.Errorf("%s is left", left[0].Name())
	}
}

func TestTheProgressOfParquetFollowsItsRows(t *testing.T) {
	rows := make([]string, 40_000)
	for i := range rows {
		rows[i] = fmt.Sprintf(`{"n":%d,"text":"%x"}`, i, uint64(i+1)*0x9e3779b97f4a7c15)
	}
	dir := inputFiles(t, map[string]string{"a.parquet": columnFile(t, rows...)})
	r, err := Open(filepath.Join(dir, "a.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for range len(rows) / 2 {
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
	}
	if done, total := r.Progress(); done < total*45/100 || done > total*55/100 {
		t.Errorf("at half of the rows %d of %d bytes count as read", done, total)
	}
	if _, err := readAll(r); err != nil {
		t.Fatal(err)
	}
	if done, total := r.Progress(); done != total {
		t.Errorf("at the end %d of %d bytes count as read", done, total)
	}
}

func TestNotesAreOfWhatWasReadSoFar(t *testing.T) {
	s, err := NewSource(SourceOptions{Inputs: []string{"-"}, NaN: NaNNull, Stdin: strings.NewReader("{\"n\":NaN}\n{\"n\":-Infinity}\n{\"n\":NaN}\n")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r, err := s.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for want := range 3 {
		if _, err := r.Next(); err != nil || r.Notes().Nulled != want+1 {
			t.Errorf("%v: %+v, want %d", err, r.Notes(), want+1)
		}
	}
}

func TestDrawingRowsSaysHowFarItIs(t *testing.T) {
	dir := inputFiles(t, map[string]string{"a.jsonl": strings.Repeat("{\"n\":1}\n", 3000)})
	s, err := NewSource(SourceOptions{Inputs: []string{filepath.Join(dir, "a.jsonl")}})
	if err != nil {
		t.Fatal(err)
	}
	var rows int
	var read int64
	selected, err := s.Select(Selection{Limit: 2, Random: true}, func(n int, done, total int64) {
		if n < rows || done < read || total != 3000*8 {
			t.Errorf("after %d rows and %d bytes: %d rows, %d of %d bytes", rows, read, n, done, total)
		}
		rows, read = n, done
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := selected.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if rows != 3000 || read != 3000*8 {
		t.Errorf("at the end: %d rows, %d bytes", rows, read)
	}
}
