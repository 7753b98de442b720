// Package doctor looks whether what Gleaner works with is in order, before a run meets it: each
// check asks one thing, within a few seconds, beside the others, and says what to do if something
// is wrong. It changes nothing.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A Condition is how something is.
type Condition string

// The states. A warning costs time or may become wrong; what is wrong makes a run fail.
const (
	OK      Condition = "ok"
	Warning Condition = "warning"
	Wrong   Condition = "wrong"
)

// A Finding is one line of what was found.
type Finding struct {
	Check  string    `json:"check"`
	State  Condition `json:"state"`
	Says   string    `json:"says"`
	Advice string    `json:"advice,omitempty"` // what to do; empty where all is well
}

// A Question asks one thing. What it asks may have several lines.
type Question struct {
	Name string
	Look func(ctx context.Context) []Finding
}

// DefaultWithin is how long a check may take.
const DefaultWithin = 5 * time.Second

// Run does all checks side by side, each within a time (0: DefaultWithin), and returns the findings
// in the order of the checks. Waiting, which may be nil, is called as each one ends, with the names
// of those that go on. A check that does not end in time is wrong.
func Run(ctx context.Context, checks []Question, within time.Duration, waiting func(names []string)) []Finding {
	if within == 0 {
		within = DefaultWithin
	}
	found := make([][]Finding, len(checks))
	var mu sync.Mutex
	var all sync.WaitGroup
	open := map[int]bool{}
	for i := range checks {
		open[i] = true
	}
	for i, check := range checks {
		all.Go(func() {
			lines := look(ctx, check, within)
			mu.Lock()
			defer mu.Unlock()
			found[i] = lines
			delete(open, i)
			if waiting != nil {
				var names []string
				for j := range checks {
					if open[j] {
						names = append(names, checks[j].Name)
					}
				}
				waiting(names)
			}
		})
	}
	all.Wait()
	var findings []Finding
	for i, lines := range found {
		for _, f := range lines {
			f.Check = checks[i].Name
			findings = append(findings, f)
		}
	}
	return findings
}

// look does one check. One that heeds no context is left behind.
func look(ctx context.Context, check Question, within time.Duration) []Finding {
	limited, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	done := make(chan []Finding, 1)
	go func() { done <- check.Look(limited) }()
	select {
	case lines := <-done:
		return lines
	case <-time.After(within + time.Second):
		return bad(fmt.Sprintf("no answer within %s", within), "look whether it hangs, and whether a firewall drops what is sent there")
	}
}

// Failed reports whether something is wrong.
func Failed(findings []Finding) bool {
	for _, f := range findings {
		if f.State == Wrong {
			return true
		}
	}
	return false
}

func fine(format string, args ...any) []Finding {
	return []Finding{{State: OK, Says: fmt.Sprintf(format, args...)}}
}

func warn(says, advice string) []Finding {
	return []Finding{{State: Warning, Says: says, Advice: advice}}
}

func bad(says, advice string) []Finding { return []Finding{{State: Wrong, Says: says, Advice: advice}} }

// timedOut says that a check of this context got no answer in time.
func timedOut(ctx context.Context, err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil
}
