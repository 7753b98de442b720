package view

import (
	"testing"
	"time"
)

func TestReadingIsShownWithRowsBytesAndSpeed(t *testing.T) {
	for _, c := range []struct {
		rows        int
		done, total int64
		took        time.Duration
		want        string
	}{
		{0, 0, 2048, 0, "checking a ░░░░░░░░ 0 rows, 0.0 rows/s, 0 B of 2.0 KiB"},
		{3000, 1024, 2048, 2 * time.Second, "checking a ████░░░░ 3,000 rows, 1,500 rows/s, 1.0 KiB of 2.0 KiB"},
		{1, 4096, 2048, time.Second, "checking a ████████ 1 row, 1.0 rows/s, 4.0 KiB of 2.0 KiB"},
		{3000, 1024, 0, 2 * time.Second, "checking a 3,000 rows, 1,500 rows/s, 1.0 KiB"},
	} {
		if got := Reading("checking a", c.rows, c.done, c.total, c.took); got != c.want {
			t.Errorf("got  %q\nwant %q", got, c.want)
		}
	}
}

func TestRowsThatWereLeftOutAreSaidWhereThereAreAny(t *testing.T) {
	for n, want := range map[int]string{0: "", 1: ", 1 bad row left out", 2000: ", 2,000 bad rows left out"} {
		if got := LeftOut(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
