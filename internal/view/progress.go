package view

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"gleaner/internal/cli"
	"gleaner/internal/text"
)

// A Progress shows how far a long command is: lines that are redrawn on a terminal, or a plain
// line now and then where there is none.
type Progress struct {
	term *cli.Terminal
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
func NewProgress(t *cli.Terminal) *Progress {
	p := &Progress{term: t, live: t.Redraws()}
	if !p.live {
		p.last = time.Now() // a short command needs no line
	}
	return p
}

// Due reports whether it is time to show something again, so that callers need not make what
// is not shown.
func (p *Progress) Due() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	every := plainEvery
	if p.live {
		every = liveEvery
	}
	return time.Since(p.last) >= every
}

// Show replaces the lines that were shown before. Without a terminal only the first one is printed,
// and only if it differs from the last.
func (p *Progress) Show(lines ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = time.Now()
	if !p.live {
		if line := shown(lines[0]); line != p.plain {
			p.plain = line
			fmt.Fprintln(p.term.Control(), line)
		}
		return
	}
	var b strings.Builder
	p.rewind(&b)
	width := p.term.TalkColumns() - 1 // a full line would wrap
	for _, line := range lines {
		b.WriteString(text.Clip(shown(line), width))
		b.WriteString("\n")
	}
	p.drawn = len(lines)
	fmt.Fprint(p.term.Control(), b.String())
}

// shown returns a line that neither commands the terminal nor breaks.
func shown(line string) string { return text.Printable(strings.ReplaceAll(line, "\n", " ")) }

// Write lets log lines appear above the progress: it takes the lines away, writes, and the next
// Show draws again.
func (p *Progress) Write(data []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.live {
		var b strings.Builder
		p.rewind(&b)
		fmt.Fprint(p.term.Control(), b.String())
		p.drawn, p.last = 0, time.Time{}
	}
	return p.term.Control().Write(data)
}

// Clear takes the lines away.
func (p *Progress) Clear() { _, _ = p.Write(nil) }

// rewind moves to the first drawn line and clears from there on, also where ^C was typed below it.
// The caller holds mu.
func (p *Progress) rewind(b *strings.Builder) {
	if p.drawn > 0 {
		fmt.Fprintf(b, "\r\x1b[%dA\x1b[J", p.drawn)
	}
}
