package cli

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/term"
)

// A Progress shows how far a long work is: lines that are redrawn on a terminal, or a plain line
// now and then where there is none.
type Progress struct {
	term *Terminal
	live bool

	mu    sync.Mutex
	drawn int // lines that stand on the terminal
	last  time.Time
	plain string // the last plain line that was printed
}

const (
	liveEvery  = 100 * time.Millisecond
	plainEvery = 5 * time.Second
)

// NewProgress returns a Progress on the terminal's Err.
func NewProgress(t *Terminal) *Progress {
	p := &Progress{term: t, live: isTerminal(t.Err)}
	if !p.live {
		p.last = time.Now() // what is over soon needs no line
	}
	return p
}

// Due reports whether it is time to show something again, so that callers need not make what
// nobody sees.
func (p *Progress) Due() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	every := plainEvery
	if p.live {
		every = liveEvery
	}
	return time.Since(p.last) >= every
}

// Show shows lines in the place of those before. Without a terminal only the first is printed, if
// it is new.
func (p *Progress) Show(lines ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = time.Now()
	if !p.live {
		if lines[0] != p.plain {
			p.plain = lines[0]
			fmt.Fprintln(p.term.Err, lines[0])
		}
		return
	}
	var b strings.Builder
	p.rewind(&b)
	width := columns(p.term)
	for _, line := range lines {
		b.WriteString(clip(line, width))
		b.WriteString("\n")
	}
	p.drawn = len(lines)
	fmt.Fprint(p.term.Err, b.String())
}

// Write lets log lines appear above the progress: it takes the lines away, writes, and the next
// Show draws again.
func (p *Progress) Write(data []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.live {
		var b strings.Builder
		p.rewind(&b)
		fmt.Fprint(p.term.Err, b.String())
		p.drawn, p.last = 0, time.Time{}
	}
	return p.term.Err.Write(data)
}

// Clear takes the lines away.
func (p *Progress) Clear() { _, _ = p.Write(nil) }

// rewind moves to the first drawn line and clears from there on. The caller holds mu.
func (p *Progress) rewind(b *strings.Builder) {
	if p.drawn > 0 {
		fmt.Fprintf(b, "\x1b[%dA\x1b[J", p.drawn)
	}
}

func columns(t *Terminal) int { return width(t.Err, 80) }

// Columns returns how wide a line of data may be: as wide as the terminal, or 120 where there is
// none.
func (t *Terminal) Columns() int { return width(t.Out, 120) }

func width(v any, otherwise int) int {
	if f, ok := v.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return otherwise
}

func clip(line string, width int) string {
	if runes := []rune(line); len(runes) >= width {
		return string(runes[:width-1])
	}
	return line
}

// Bar returns a bar of so many cells.
func Bar(done, total, cells int) string {
	full := 0
	if total > 0 {
		full = min(done*cells/total, cells)
	}
	return strings.Repeat("█", full) + strings.Repeat("░", cells-full)
}

// Count returns a number with thousands separated.
func Count(n int) string { return humanize.Comma(int64(n)) }

// Percent returns done as a part of total.
func Percent(done, total int) string {
	if total == 0 {
		return "0 %"
	}
	return fmt.Sprintf("%d %%", done*100/total)
}

// Duration returns d as people say it, with two or three digits of it.
func Duration(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
