package view

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/cli"
	"gleaner/internal/status"
	"gleaner/internal/text"
)

var (
	plainly = cli.ProgressFlags{Progress: cli.ProgressPlain}
	lively  = cli.ProgressFlags{Progress: cli.ProgressLive}
)

func TestAPlainLineIsPrintedNowAndThenIfSomethingChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := NewProgress(&cli.Terminal{Err: &out}, cli.ProgressFlags{}) // plain, since there is no terminal
		began := time.Now()
		for range 900 { // 90 seconds
			if p.Due() {
				step := int(time.Since(began).Seconds()) / 15
				p.Show(fmt.Sprint("step ", step), "a line for each GPU")
			}
			time.Sleep(100 * time.Millisecond)
		}
		p.Show("step 6", "too soon")
		p.Clear()
		want := "   10s  step 0\n   20s  step 1\n   30s  step 2\n   45s  step 3\n  1m0s  step 4\n 1m15s  step 5\n 1m30s  step 6\n"
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestAShortCommandNeedsNoLine(t *testing.T) {
	var out bytes.Buffer
	if NewProgress(&cli.Terminal{Err: &out}, plainly).Due() {
		t.Error("a line at once")
	}
}

func TestThreeHoursAreFewLines(t *testing.T) {
	for hours, most := range map[int]int{1: 85, 3: 110, 12: 160} {
		lines := 0
		for passed := untilNext(0); passed <= time.Duration(hours)*time.Hour; passed += untilNext(passed) {
			lines++
		}
		if lines > most || lines < most-30 {
			t.Errorf("%d hours are %d lines", hours, lines)
		}
	}
}

func TestOnATerminalTheLinesAreDrawnOverEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		term := &cli.Terminal{Err: &out}
		p := NewProgress(term, lively)
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
		if _, err := term.Control().Write([]byte("a log line\n")); err != nil {
			t.Fatal(err)
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

func TestAProgramGetsObjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := NewProgress(&cli.Terminal{Err: &out}, cli.ProgressFlags{Progress: cli.ProgressJSON})
		p.Show("loading")
		time.Sleep(400 * time.Millisecond)
		p.Show("too soon")
		time.Sleep(100 * time.Millisecond)
		p.Run(status.Snapshot{Run: "r", Generations: 4, Stored: 1})
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != 2 || lines[0] != `{"progress":{"text":"loading","seconds":0}}` {
			t.Fatalf("%q", lines)
		}
		var got struct {
			Progress struct {
				Snapshot struct {
					Run    string
					Stored int
				}
			}
		}
		if err := json.Unmarshal([]byte(lines[1]), &got); err != nil || got.Progress.Snapshot.Run != "r" || got.Progress.Snapshot.Stored != 1 {
			t.Errorf("%v: %s", err, lines[1])
		}
	})
}

func TestNoneIsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := NewProgress(&cli.Terminal{Err: &out}, cli.ProgressFlags{Progress: cli.ProgressNone})
		time.Sleep(time.Hour)
		p.Show("loading")
		p.Clear()
		if p.Due() || out.Len() > 0 {
			t.Errorf("%q", &out)
		}
	})
}

func TestAPlainLineHasTheGPUs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := NewProgress(&cli.Terminal{Err: &out}, plainly)
		time.Sleep(time.Minute)
		s := status.Snapshot{Generations: 4, Stored: 1, Consumers: consumersAt(time.Now())}
		p.Run(s)
		if want := "  1m0s  ██████░░░░░░░░░░░░░░░░░░ 25 %  1 of 4  3 GPUs, 8/17 slots; T4 1 model tiny is not there\n"; out.String() != want {
			t.Errorf("%q, want %q", &out, want)
		}
	})
}

func TestWhatHasNoRoomBelowARunIsCounted(t *testing.T) {
	s := status.Snapshot{Consumers: consumersAt(time.Now())}
	for range 5 {
		s.Missing = append(s.Missing, status.Missing{Consumer: "01M", Host: "gone", Ago: 3 * time.Minute})
	}
	if got := runLines(s, 20); len(got) != 8 {
		t.Errorf("%d lines: %q", len(got), got)
	}
	got := runLines(s, 4)
	want := []string{GPULines(s.Consumers)[0], "  and 2 more", "  missing: 01M on gone, last seen 3m0s ago", "  and 4 more"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestATransferHasItsRateAndTheTimeLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := NewProgress(&cli.Terminal{Err: &out}, plainly)
		p.Transfer("pulling m", 1<<20, 101<<20) // what is there already says nothing of the rate
		time.Sleep(10 * time.Second)
		p.Transfer("pulling m", 21<<20, 101<<20)
		time.Sleep(10 * time.Second)
		p.Transfer("pulling n", 0, 0)
		time.Sleep(10 * time.Second)
		p.Transfer("pulling m", 101<<20, 101<<20)
		want := "   10s  pulling m █░░░░░░░ 20 %  21 MiB of 101 MiB  2.0 MiB/s  40s left\n" +
			"   20s  pulling n\n" + "   30s  pulling m ████████ 100 %  101 MiB of 101 MiB  3.3 MiB/s\n"
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestALineOfProgressNeitherCommandsTheTerminalNorBreaks(t *testing.T) {
	var out bytes.Buffer
	NewProgress(&cli.Terminal{Err: &out}, lively).Show("a\x1b[2Jb\nc")
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
		{indent("a\nb\n", 0), "  │ a\n  │ b"}, {indent(strings.Repeat("é", 1200), 0), "  │ " + strings.Repeat("é", 998) + "…"},
		{indent("x"+strings.Repeat("é", 1200), 0), "  │ x" + strings.Repeat("é", 998) + "…"}, // never half a character
		{indent("one two three four five", 24), "  │ one two three four\n  │ five"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestSeveralRunsAreShownInAsManyLinesAsThereIsRoomFor(t *testing.T) {
	var all []status.Snapshot
	for i := range 40 {
		all = append(all, status.Snapshot{
			Run: fmt.Sprintf("run-%02d", i), State: status.State{Word: status.Running}, Generations: 200, Stored: 50, TokensPerSecond: 10,
		})
	}
	var out bytes.Buffer
	p := NewProgress(&cli.Terminal{Err: &out}, lively)
	p.Runs(all)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) > 24 || !strings.HasPrefix(lines[0], "40 open runs: 2,000 of 8,000  400 tok/s") || !strings.HasPrefix(lines[1], "run-00  ") ||
		!strings.Contains(lines[len(lines)-1], "more") {
		t.Errorf("%d lines:\n%s", len(lines), out.String())
	}
	for _, line := range lines {
		if columns := text.Width(line); columns > 80 {
			t.Errorf("%d columns: %s", columns, line)
		}
	}
	out.Reset()
	p.Runs(nil)
	if !strings.Contains(out.String(), "no open run; those that are loaded are picked up") {
		t.Errorf("without a run: %q", out.String())
	}
}

func TestARunThatIsCompleteIsALineWithTheCommandThatExportsIt(t *testing.T) {
	s := status.Snapshot{Run: "words", State: status.State{Word: status.Complete, Failed: 2}, Generations: 50, Stored: 48, OutputTokens: 1234, PromptTokens: 1}
	want := "run words: complete with 2 failed; 48 of 50 generations done, 1,234 tokens out, 1 in. Export: `sink export --run words --out words.jsonl`"
	if got := Completed(s); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	s.ThinkingTokens = 1000
	if got := Completed(s); !strings.Contains(got, " done, 1,234 tokens out (about 1,000 of them thinking), 1 in. Export") {
		t.Errorf("with thinking it is %q", got)
	}
}
