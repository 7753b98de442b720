package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"

	"gleaner/internal/text"
)

// A screen lets lines of talk and lines that are redrawn share a terminal: what is written takes
// the drawn lines away first, so that both stay whole. All its writers may be used by several
// goroutines.
type screen struct {
	talk io.Writer
	size func() (columns, rows int)

	mu       sync.Mutex
	drawn    []int  // columns of each line that stands below the talk
	asJSON   bool   // talk is wrapped into objects
	unfinish []byte // the beginning of a line of talk, which is wrapped once it is whole
}

// A TalkEvent is an object of the mode json that holds a line of talk.
type TalkEvent struct {
	Message string `json:"message"`
}

// above writes to a writer of a screen, above what is drawn there.
type above struct {
	*screen
	to io.Writer
}

func (a above) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.takeAway()
	return a.to.Write(p)
}

// talking writes talk for people above what is drawn, or wraps it for a program.
type talking struct{ *screen }

func (s talking) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.takeAway()
	if !s.asJSON {
		_, err := io.WriteString(s.talk, text.Wrap(string(p), wrapAt(s.talk)))
		return len(p), err
	}
	s.unfinish = append(s.unfinish, p...)
	for {
		line, rest, whole := bytes.Cut(s.unfinish, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		s.unfinish = rest
		if said := strings.TrimRight(string(line), " "); said != "" {
			if err := s.object(TalkEvent{text.Printable(said)}); err != nil {
				return 0, err
			}
		}
	}
}

// wrap has talk be wrapped for a program from here on.
func (s *screen) wrap() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asJSON = true
}

// wraps reports whether talk is wrapped.
func (s *screen) wraps() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asJSON
}

// object writes a value as a line of JSON. The caller holds mu.
func (s *screen) object(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = io.WriteString(s.talk, text.PrintableJSON(string(data))+"\n")
	return err
}

// draw replaces the drawn lines. They neither command the terminal nor break, and are clipped where
// they are too wide; lines that would not fit into the terminal are left out.
func (s *screen) draw(lines []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	columns, rows := s.size()
	var b strings.Builder
	s.rewind(&b, columns)
	for _, line := range lines[:min(len(lines), max(rows-1, 1))] {
		line = text.Clip(line, columns-1) // a full line would wrap
		b.WriteString(line)
		b.WriteString("\n")
		s.drawn = append(s.drawn, text.Width(line))
	}
	_, _ = io.WriteString(s.talk, b.String()) // a terminal that is gone shows nothing
}

// takeAway clears what is drawn. The caller holds mu.
func (s *screen) takeAway() {
	if len(s.drawn) == 0 {
		return
	}
	columns, _ := s.size()
	var b strings.Builder
	s.rewind(&b, columns)
	_, _ = io.WriteString(s.talk, b.String())
}

// rewind moves to the first drawn line and clears from there on, also where ^C was typed below it.
// On a terminal that has become narrower a line takes several rows. The caller holds mu.
func (s *screen) rewind(b *strings.Builder, columns int) {
	rows := 0
	for _, width := range s.drawn {
		rows += max((width+columns-1)/max(columns, 1), 1)
	}
	if rows > 0 {
		fmt.Fprintf(b, "\r\x1b[%dA\x1b[J", rows)
	}
	s.drawn = s.drawn[:0]
}
