package view

import (
	"cmp"
	"fmt"
	"strings"
	"sync"
	"time"

	"gleaner/internal/cli"
	"gleaner/internal/pipeline"
	"gleaner/internal/status"
	"gleaner/internal/text"
)

// A Progress shows how far a long command is, on the terminal's Err: lines that are redrawn, a
// plain line now and then, or objects for a program. Talk appears above the lines.
type Progress struct {
	term *cli.Terminal
	mode string

	mu    sync.Mutex
	began time.Time
	tried time.Time // when something was shown last, or was as before
	said  time.Time // when the last plain line was printed
	plain string    // that line
	moves map[string]transfer
}

// A transfer is when bytes of something began to move, and how many were there already.
type transfer struct {
	began time.Time
	from  int64
}

const (
	liveEvery  = 100 * time.Millisecond
	jsonEvery  = 500 * time.Millisecond
	plainEvery = 10 * time.Second
	plainRare  = 10 * time.Minute
	plainLook  = time.Second // between two looks whether a plain line would be another one
)

// NewProgress returns a Progress in the way that the flags ask for.
func NewProgress(t *cli.Terminal, flags cli.ProgressFlags) *Progress {
	p := &Progress{term: t, mode: flags.Mode(t), began: time.Now()}
	if p.mode == cli.ProgressJSON {
		t.TalkJSON()
	}
	p.said = p.began // a short command needs no line
	return p
}

// untilNext returns how long after a plain line the next one may follow, this long after the
// command began: the longer that is ago, the less is new in a while. So there is no line in the
// first ten seconds, 102 in three hours, and 156 in twelve.
func untilNext(passed time.Duration) time.Duration {
	return min(max(plainEvery, passed/20), plainRare)
}

// Due reports whether it is time to show something again, so that callers need not make what
// is not shown.
func (p *Progress) Due() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.due()
}

// due does that. The caller holds mu.
func (p *Progress) due() bool {
	switch p.mode {
	case cli.ProgressLive:
		return time.Since(p.tried) >= liveEvery
	case cli.ProgressJSON:
		return time.Since(p.tried) >= jsonEvery
	case cli.ProgressPlain:
		return time.Since(p.said) >= untilNext(p.said.Sub(p.began)) && time.Since(p.tried) >= plainLook
	}
	return false
}

// Show shows a line, and on a terminal the others below it, in place of those that were shown
// before. A plain line, or an object, is printed only if it is time for it, and a plain line only
// if something changed.
func (p *Progress) Show(line string, others ...string) {
	p.show(line, line, others, nil)
}

// Run shows how far a run is, and what its GPUs do.
func (p *Progress) Run(s status.Snapshot) {
	columns, rows := p.term.TalkSize()
	p.show(lineOf(s, columns-1), Line(s)+GPUsInALine(s.Consumers), runLines(s, rows-2), &s)
}

// Runs shows how far several runs are, in as many lines as the terminal has room for.
func (p *Progress) Runs(all []status.Snapshot) {
	columns, rows := p.term.TalkSize()
	longest := 0
	for _, s := range all {
		longest = max(longest, len(s.Run))
	}
	var lines []string
	for _, s := range all {
		name := fmt.Sprintf("%-*s  ", min(longest, columns/3), s.Run)
		lines = append(lines, name+lineOf(s, columns-1-len(name))+GPUsInALine(s.Consumers))
	}
	lines = firstLines(lines, max(rows-2, 2))
	p.show(runsLine(all), runsLine(all), lines, nil)
}

// runsLine sums up several runs.
func runsLine(all []status.Snapshot) string {
	if len(all) == 0 {
		return "no open run; those that are loaded are picked up"
	}
	stored, generations, rate := 0, 0, 0.0
	for _, s := range all {
		stored, generations, rate = stored+s.Stored, generations+s.Generations, rate+s.TokensPerSecond
	}
	line := fmt.Sprintf("%s: %s of %s", Plural(len(all), "open run", "open runs"), Count(stored), Count(generations))
	if rate > 0 {
		line += fmt.Sprintf("  %s tok/s", Rate(rate))
	}
	return line
}

// Transfer shows how many bytes of something are there, how fast they come, and how long the others
// will take. A total that is not positive is not known. It may be called often.
func (p *Progress) Transfer(what string, done, total int64) {
	p.mu.Lock()
	move, known := p.moves[what]
	if !known || done < move.from {
		if move = (transfer{time.Now(), done}); p.moves == nil {
			p.moves = map[string]transfer{}
		}
		p.moves[what] = move
	}
	due := p.due()
	p.mu.Unlock()
	if due {
		p.Show(transferred(what, done, total, done-move.from, time.Since(move.began)))
	}
}

// transferred does that for bytes of which some came within a time.
func transferred(what string, done, total, came int64, took time.Duration) string {
	if total <= 0 {
		if done <= 0 {
			return what
		}
		return what + " " + Bytes(float64(done))
	}
	line := fmt.Sprintf("%s %s %s  %s of %s", what, Bar(int(done), int(total), readingCells), Percent(int(done), int(total)), Bytes(float64(done)), Bytes(float64(total)))
	if rate := float64(came) / max(took.Seconds(), 0.001); came > 0 && took >= time.Second {
		line += fmt.Sprintf("  %s/s", Bytes(rate))
		if left := float64(total-done) / rate; left > 0 {
			line += "  " + Duration(time.Duration(max(left, 1)*float64(time.Second)).Round(time.Second)) + " left"
		}
	}
	return line
}

// A ProgressEvent is an object of the mode json that says how far a command is.
type ProgressEvent struct {
	Progress Step `json:"progress"`
}

// A Step is how far a command is.
type Step struct {
	Text     string           `json:"text"`
	Seconds  float64          `json:"seconds"` // since the command began
	Snapshot *status.Snapshot `json:"snapshot,omitempty"`
}

// End says how a run ended, where what was shown before would stay: a program draws what it was
// told last.
func (p *Progress) End(line string, s status.Snapshot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mode == cli.ProgressJSON {
		p.tell(line, &s)
	}
}

// tell prints an object. The caller holds mu.
func (p *Progress) tell(line string, s *status.Snapshot) {
	var e ProgressEvent
	e.Progress.Text, e.Progress.Snapshot = shown(line), s
	e.Progress.Seconds = time.Since(p.began).Round(100 * time.Millisecond).Seconds()
	_ = cli.PrintJSON(p.term.Err, e) // a program that is gone reads nothing
}

func (p *Progress) show(line, plain string, others []string, s *status.Snapshot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	switch {
	case p.mode == cli.ProgressLive:
		lines := []string{shown(line)}
		for _, other := range others {
			lines = append(lines, shown(other))
		}
		p.term.Draw(lines...)
	case !p.due():
		return
	case p.mode == cli.ProgressJSON:
		p.tell(line, s)
	case p.mode == cli.ProgressPlain && plain != p.plain:
		p.plain, p.said = plain, now
		fmt.Fprintf(p.term.Err, "%6s  %s\n", now.Sub(p.began).Round(time.Second), shown(plain))
	}
	p.tried = now
}

// shown returns a line that neither commands the terminal nor breaks.
func shown(line string) string { return text.Printable(strings.ReplaceAll(line, "\n", " ")) }

// Clear takes the lines away.
func (p *Progress) Clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mode == cli.ProgressLive {
		p.term.Draw()
		p.tried = time.Time{}
	}
}

// runLines shows the GPUs of a run and the consumers that are missing, in at most this many lines.
func runLines(s status.Snapshot, most int) []string {
	lines := GPULines(s.Consumers)
	var missing []string
	for _, m := range s.Missing {
		missing = append(missing, fmt.Sprintf("  missing: %s on %s, last seen %s ago", m.Consumer, cmp.Or(text.OneLine(m.Host), "a host that is not known"), Duration(m.Ago)))
	}
	keep := max(most, 2)
	missing = firstLines(missing, max(keep/2, keep-len(lines)))
	return append(firstLines(lines, keep-len(missing)), missing...)
}

// firstLines returns at most this many lines, of which the last says how many there are besides.
func firstLines(lines []string, most int) []string {
	if len(lines) <= most {
		return lines
	}
	kept := max(most-1, 0)
	return append(lines[:kept:kept], fmt.Sprintf("  and %s more", Count(len(lines)-kept)))
}

// mostTroubled is how many GPUs a line names that do not serve.
const mostTroubled = 3

// GPUsInALine says in a few words what the GPUs do, behind a line on their run: how many slots are
// busy, and which GPUs do not serve. It is empty if there are none.
func GPUsInALine(consumers []pipeline.Presence) string {
	gpus, busy, slots := 0, 0, 0
	var troubled []string
	for _, c := range consumers {
		for _, g := range c.GPUs {
			gpus, busy, slots = gpus+1, busy+g.Busy, slots+g.Slots
			if g.State != pipeline.GPUServing {
				troubled = append(troubled, g.Name+" "+text.Clip(g.Describe(), 40))
			}
		}
	}
	if gpus == 0 {
		return ""
	}
	line := fmt.Sprintf("  %s, %d/%d slots", Plural(gpus, "GPU", "GPUs"), busy, slots)
	if n := len(troubled); n > 0 {
		line += "; " + strings.Join(troubled[:min(n, mostTroubled)], ", ")
		if n > mostTroubled {
			line += fmt.Sprintf(" and %s more", Count(n-mostTroubled))
		}
	}
	return line
}
