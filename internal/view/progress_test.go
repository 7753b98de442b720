package view

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/cli"
)

func TestWithoutATerminalAPlainLineIsPrintedNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := NewProgress(&cli.Terminal{Err: &out})
		shown := 0
		for range 300 { // 30 seconds
			if p.Due() {
				shown++
				p.Show("loading "+time.Now().Format("05"), "a line for each GPU")
			}
			time.Sleep(100 * time.Millisecond)
		}
		p.Show("loading 25", "the same again")
		p.Clear()
		want := "loading 05\nloading 10\nloading 15\nloading 20\nloading 25\n"
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestAShortCommandNeedsNoLine(t *testing.T) {
	var out bytes.Buffer
	if NewProgress(&cli.Terminal{Err: &out}).Due() {
		t.Error("a line at once")
	}
}

func TestOnATerminalTheLinesAreDrawnOverEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := &Progress{term: &cli.Terminal{Err: &out}, live: true}
		if !p.Due() {
			t.Error("nothing is shown at once")
		}
		p.Show("one", strings.Repeat("x", 100))
		if p.Due() {
			t.Error("it is drawn again at once")
		}
		time.Sleep(liveEvery)
		if !p.Due() {
			t.Error("it is not drawn again")
		}
		p.Show("two")
		if _, err := p.Write([]byte("a log line\n")); err != nil {
			t.Fatal(err)
		}
		if !p.Due() {
			t.Error("what a log line took away is not drawn again")
		}
		p.Show("three")
		p.Clear()
		p.Clear()
		want := "one\n" + strings.Repeat("x", 78) + "…\n" + "\r\x1b[2A\x1b[Jtwo\n" + "\r\x1b[1A\x1b[Ja log line\n" + "three\n" + "\r\x1b[1A\x1b[J"
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestALineOfProgressNeitherCommandsTheTerminalNorBreaks(t *testing.T) {
	var out bytes.Buffer
	NewProgress(&cli.Terminal{Err: &out}).Show("a\x1b[2Jb\nc")
	if diff := cmp.Diff("a\uFFFD[2Jb c\n", out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBarsAndNumbers(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Bar(0, 0, 4), "░░░░"}, {Bar(0, 9, 4), "░░░░"}, {Bar(5, 10, 4), "██░░"}, {Bar(9, 10, 4), "███░"}, {Bar(10, 10, 4), "████"}, {Bar(11, 10, 4), "████"},
		{Percent(0, 0), "0 %"}, {Percent(1, 3), "33 %"}, {Percent(999, 1000), "99 %"}, {Percent(1000, 1000), "100 %"},
		{Count(0), "0"}, {Count(7473), "7,473"}, {Count(1e9), "1,000,000,000"},
		{Duration(0), "0s"}, {Duration(1234 * time.Microsecond), "1ms"}, {Duration(2345 * time.Millisecond), "2.3s"}, {Duration(59600 * time.Millisecond), "1m0s"},
		{Duration(3*time.Hour + 5*time.Minute + 7*time.Second), "3h5m7s"},
		{Rate(0), "0.0"}, {Rate(9.94), "9.9"}, {Rate(12.9), "12"}, {Rate(12345), "12,345"},
		{Bytes(0), "0 B"}, {Bytes(1023), "1023 B"}, {Bytes(1536), "1.5 KiB"}, {Bytes(10 << 30), "10 GiB"},
		{Steps("loading a.jsonl", 1, 2, "rows"), "loading a.jsonl ████████████░░░░░░░░░░░░ 50 %  1 of 2 rows"},
		{Plural(1, "row", "rows"), "1 row"}, {Plural(0, "row", "rows"), "0 rows"}, {Plural(2000, "row", "rows"), "2,000 rows"},
		{indent("a\nb\n"), "  │ a\n  │ b"}, {indent(strings.Repeat("é", 1200)), "  │ " + strings.Repeat("é", 998) + "…"},
		{indent("x" + strings.Repeat("é", 1200)), "  │ x" + strings.Repeat("é", 998) + "…"}, // never half a character
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}
