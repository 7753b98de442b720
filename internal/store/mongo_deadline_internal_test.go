package store

import (
	"testing"
	"time"
)

func TestTheDeadlineOfACommandGrowsWithItsBytes(t *testing.T) {
	c := &mongoClients{base: commandDeadline}
	for bytes, want := range map[int]time.Duration{0: 10 * time.Second, 512 << 10: 10500 * time.Millisecond, 64 << 20: 74 * time.Second} {
		if got := c.deadline(bytes); got != want {
			t.Errorf("%d bytes: %s, want %s", bytes, got, want)
		}
	}
}

func TestAPageIsSmallEnoughForItsDeadline(t *testing.T) {
	var meter rowMeter
	if rows, bytes := meter.next(1000, replyBytes); rows != 1000 || bytes != 1000<<10 {
		t.Errorf("at first it asks for %d rows of %d bytes", rows, bytes)
	}
	meter.read(10, 10<<20)
	if rows, bytes := meter.next(1000, replyBytes); rows != 4 || bytes != 4<<20 {
		t.Errorf("of rows of 1 MiB it asks for %d, %d bytes", rows, bytes)
	}
	for range 10 { // a line so slow, or rows so large, that nothing comes in time
		meter.unanswered()
	}
	if rows, bytes := meter.next(1000, replyBytes); rows != 1 || bytes != maxReply {
		t.Errorf("in the end it asks for %d rows and gives them the time for %d bytes", rows, bytes)
	}
	meter.read(100, 100<<10)
	if rows, _ := meter.next(1000, replyBytes); rows != 1000 {
		t.Errorf("after small rows it asks for %d", rows)
	}
}
