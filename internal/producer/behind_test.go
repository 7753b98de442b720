package producer

import (
	"errors"
	"testing"
	"testing/synctest"
)

func TestWritesBehindAReaderAreDoneOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b behind
		begun, done, release := 0, 0, make(chan struct{})
		for n := range 5 {
			write := func() error {
				if begun++; begun != n+1 || begun != done+1 {
					t.Errorf("write %d begins as number %d when %d are done", n+1, begun, done)
				}
				<-release
				return nil
			}
			if n > 0 {
				go func() { release <- struct{}{} }() // the write before this one ends
			}
			if err := b.start(write, func() { done++ }); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if begun != n+1 || done != n {
				t.Errorf("%d were begun and %d are done after the start of number %d", begun, done, n+1)
			}
		}
		go func() { release <- struct{}{} }()
		if err := b.wait(); err != nil || done != 5 {
			t.Errorf("%d are done: %v", done, err)
		}
		if err := b.wait(); err != nil || done != 5 {
			t.Errorf("waiting for nothing: %d are done: %v", done, err)
		}
	})
}

func TestAfterAWriteThatFailsNoneIsBegun(t *testing.T) {
	var b behind
	full := errors.New("the disk is full")
	none := func() { t.Error("a write counts as done") }
	if err := b.start(func() error { return full }, none); err != nil {
		t.Fatal(err)
	}
	if err := b.start(func() error { t.Error("a second write is begun"); return nil }, none); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
	if err := b.wait(); err != nil {
		t.Errorf("an error that was returned comes again: %v", err)
	}
}
