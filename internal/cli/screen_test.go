package cli

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"testing"
)

func TestTheCursorMovesWhereATerminalSaysSo(t *testing.T) {
	for _, c := range []struct {
		env  string
		want bool
	}{
		{"TERM=xterm-256color", true}, {"TERM=dumb", false}, {"TERM=xterm CI=true", false}, {"TERM=xterm JPY_PARENT_PID=1", false},
		{"TERM=xterm KAGGLE_KERNEL_RUN_TYPE=Batch", false}, {"TERM=xterm COLAB_RELEASE_TAG=release-1", false},
	} {
		if got := movesCursor(environment(c.env)); got != c.want {
			t.Errorf("%s: %v", c.env, got)
		}
	}
}

func TestColoursAreRefused(t *testing.T) {
	for env, want := range map[string]bool{"TERM=xterm": true, "TERM=xterm NO_COLOR=1": false, "TERM=dumb": false, "": false} {
		if got := takesColours(environment(env)); got != want {
			t.Errorf("%s: %v", env, got)
		}
	}
}

// environment returns what stands in a list of variables.
func environment(list string) func(string) string {
	return func(name string) string {
		for _, pair := range strings.Fields(list) {
			if key, value, _ := strings.Cut(pair, "="); key == name {
				return value
			}
		}
		return ""
	}
}

func TestTheWayOfProgressIsChosenUnlessAFlagNamesIt(t *testing.T) {
	pipe := &Terminal{Err: &bytes.Buffer{}}
	for flag, want := range map[string]string{"": ProgressPlain, ProgressLive: ProgressLive, ProgressNone: ProgressNone} {
		if got := (ProgressFlags{flag}).Mode(pipe); got != want {
			t.Errorf("%q: %s", flag, got)
		}
	}
}

// On a narrower terminal lines that stand there take more rows.
func TestLinesThatWrappedSinceAreTakenAway(t *testing.T) {
	var out bytes.Buffer
	columns := 80
	s := &screen{talk: &out, size: func() (int, int) { return columns, 24 }}
	s.draw([]string{strings.Repeat("a", 60), "b", ""})
	columns = 30
	out.Reset()
	s.draw([]string{"new"})
	if want := "\r\x1b[4A\x1b[Jnew\n"; out.String() != want {
		t.Errorf("%q, want %q", &out, want)
	}
	columns = 1 // absurd, and no reason to panic
	s.draw([]string{"漢字"})
}

func TestNoMoreIsDrawnThanATerminalHasRows(t *testing.T) {
	var out bytes.Buffer
	s := &screen{talk: &out, size: func() (int, int) { return 80, 3 }}
	s.draw([]string{"a", "b", "c", "d"})
	if out.String() != "a\nb\n" {
		t.Errorf("%q", &out)
	}
}

func TestWhatIsWrittenAppearsAboveWhatIsDrawn(t *testing.T) {
	var out bytes.Buffer
	term := (&Terminal{Out: &out, Err: &out}).escaping()
	for _, write := range []func(){
		func() { _, _ = term.Err.Write([]byte("talk\n")) },
		func() { _, _ = term.Out.Write([]byte("data\n")) },
		func() { _, _ = term.Control().Write([]byte("log\n")) },
		func() { _ = PrintJSON(term.Err, 1) },
	} {
		term.Draw("line")
		out.Reset()
		write()
		if !strings.HasPrefix(out.String(), "\r\x1b[1A\x1b[J") || strings.Count(out.String(), "\x1b") != 2 {
			t.Errorf("%q", &out)
		}
	}
}

func TestTalkForAProgramIsWrapped(t *testing.T) {
	var out bytes.Buffer
	term := (&Terminal{Out: &out, Err: &out}).escaping()
	term.TalkJSON()
	_, _ = term.Err.Write([]byte("one\n\ntwo \x1b"))
	_, _ = term.Err.Write([]byte("[2J\n"))
	_ = PrintJSON(term.Err, map[string]int{"n": 1})
	_, _ = term.Out.Write([]byte("data\n"))
	want := "{\"message\":\"one\"}\n{\"message\":\"two \uFFFD[2J\"}\n{\"n\":1}\ndata\n"
	if out.String() != want {
		t.Errorf("%q, want %q", &out, want)
	}
	if Colours(term.Err) {
		t.Error("colours for a program")
	}
}

func TestSeveralWritersShareAScreen(t *testing.T) {
	var out bytes.Buffer
	term := (&Terminal{Out: &out, Err: &out}).escaping()
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			for range 50 {
				term.Draw("line")
				_, _ = [...]io.Writer{term.Err, term.Out, term.Control(), term.Err}[i].Write([]byte("talk\n"))
			}
		})
	}
	group.Wait()
	term.Draw()
	if lines := strings.Count(out.String(), "talk\n"); lines != 200 {
		t.Errorf("%d lines of talk", lines)
	}
}
