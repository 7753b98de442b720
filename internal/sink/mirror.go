package sink

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

// MirrorPull is how long a pull for dead letters waits for the first; each costs traffic.
const MirrorPull = 10 * time.Second

const (
	mirrorMost   = 128     // dead letters of one pass
	mirrorAtOnce = 8       // dead letters that are told to the store at a time: it is a round trip for each
	maxReason    = 1 << 10 // bytes of a failure's text in the store, which has little room; the record has it all
)

// A letter is a dead letter that this process holds.
type letter = pipeline.Delivery[pipeline.StoredDeadLetter]

// A mirror tells the store of the dead letters. These stay on their stream, where people read
// them and redrive them; what is acknowledged is that the store knows.
type mirror struct {
	s     *Sink
	check *checker

	quiet  time.Time // nothing is logged before
	silent int       // dead letters ignored since the last line
}

// mirror runs until ctx ends.
func (s *Sink) mirror(ctx context.Context) {
	m := &mirror{s: s, check: newChecker(s.ledger)}
	var away outage.Reporter
	for ctx.Err() == nil {
		letters, err := s.source.DeadLettersToMirror(ctx, mirrorMost, MirrorPull)
		s.read(ctx, "dead letters", &away, err)
		if len(letters) > 0 {
			m.apply(ctx, letters)
		}
	}
}

// apply tells the store of what was delivered, however long it takes, and acknowledges it.
func (m *mirror) apply(ctx context.Context, letters []letter) {
	s := m.s
	stop := hold(ctx, s.log, s.cfg.ExtendEvery, letters)
	defer stop()

	var good []letter
	var idle []ignored
	ok := s.persist(ctx, "checking dead letters", func() (err error) {
		good, idle, err = m.sort(ctx, letters)
		return err
	})
	if !ok {
		return
	}
	told := make([]bool, len(good)) // each is written by one goroutine
	ok = s.persist(ctx, "telling the store of dead letters", func() error {
		var group errgroup.Group
		group.SetLimit(mirrorAtOnce)
		for i, d := range good {
			if told[i] {
				continue
			}
			group.Go(func() error {
				_, err := s.ledger.Fail(ctx, d.Body.Run, d.Body.Batch, d.Body.Round, d.Body.Failed(), brief(d.Body.Message))
				told[i] = err == nil
				return err
			})
		}
		return group.Wait()
	})
	if !ok {
		return
	}
	for _, d := range good {
		s.cfg.Metrics.deadLetters.WithLabelValues(classLabel(d.Body.Class)).Inc()
	}
	m.ignore(idle)
	acknowledge(ctx, s.log, letters)
	s.log.Debug("dead letters mirrored", zap.Int("told", len(good)), zap.Int("ignored", len(idle)))
}

// An ignored is a dead letter of no consequence for the store.
type ignored struct {
	letter letter
	kind   string // foreign or stale
	reason string
}

// sort splits dead letters into those that the store is to be told of and those that it is not.
// An error comes from the store.
func (m *mirror) sort(ctx context.Context, letters []letter) (good []letter, idle []ignored, err error) {
	claims := make([]claim, len(letters))
	for i, d := range letters {
		claims[i] = claim{err: d.Err, run: d.Body.Run, uid: d.Body.UID, batch: d.Body.Batch}
		for _, f := range d.Body.Failures {
			claims[i].generations = append(claims[i].generations, generation{f.Index, f.Item, f.Sample})
		}
	}
	reasons, err := m.check.verdicts(ctx, claims)
	if err != nil {
		return nil, nil, err
	}
	var own []letter
	for i, d := range letters {
		if reasons[i] != "" {
			idle = append(idle, ignored{d, "foreign", reasons[i]})
		} else {
			own = append(own, d)
		}
	}
	batches, err := m.batches(ctx, own)
	if err != nil {
		return nil, nil, err
	}
	for _, d := range own {
		if reason := stale(batches[d.Body.ID()], d.Body.DeadLetter); reason != "" {
			idle = append(idle, ignored{d, "stale", reason})
		} else {
			good = append(good, d)
		}
	}
	return good, idle, nil
}

// batches looks up where the batches of dead letters stand now.
func (m *mirror) batches(ctx context.Context, letters []letter) (map[string]pipeline.Batch, error) {
	indexes := map[string][]int{}
	for _, d := range letters {
		indexes[d.Body.Run] = append(indexes[d.Body.Run], d.Body.Batch)
	}
	batches := map[string]pipeline.Batch{}
	for run, of := range indexes {
		slices.Sort(of)
		found, err := m.s.ledger.BatchesAt(ctx, run, slices.Compact(of))
		if err != nil {
			return nil, err
		}
		for _, b := range found {
			batches[b.ID()] = b
		}
	}
	return batches, nil
}

// stale returns why a dead letter changes nothing any more, or "". The store decides the same
// once more, and for good: this is for people.
func stale(b pipeline.Batch, d pipeline.DeadLetter) string {
	switch {
	case b.Run == "":
		return "its batch was deleted"
	case b.State == pipeline.Done:
		return "its batch is done"
	case b.Round != d.Round:
		return "its batch is in another round"
	}
	return ""
}

// ignore counts dead letters of no consequence and logs them at a limited rate.
func (m *mirror) ignore(idle []ignored) {
	for _, x := range idle {
		m.s.cfg.Metrics.deadIgnored.WithLabelValues(x.kind).Inc()
		m.silent++
		if now := time.Now(); now.After(m.quiet) {
			m.s.log.Warn("dead letters ignored; they stay on their stream", zap.String("subject", x.letter.Subject), zap.Uint64("sequence", x.letter.Body.Sequence),
				zap.String("consumer", x.letter.Body.Consumer), zap.String("kind", x.kind), zap.String("reason", x.reason), zap.Int("ignored", m.silent))
			m.quiet, m.silent = now.Add(rejectionLogEvery), 0
		}
	}
}

// brief returns the text of a failure as the store keeps it: short, and without what a database
// may refuse.
func brief(text string) string {
	text = strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text[:min(len(text), 4*maxReason)])
	return strings.ToValidUTF8(text[:min(len(text), maxReason)], "")
}

// classLabel returns a class as a label, of which there may only be few: a consumer may send
// anything.
func classLabel(class pipeline.Class) string {
	switch class {
	case pipeline.Interrupted, pipeline.Retryable, pipeline.BadItem, pipeline.Truncated, pipeline.Degenerate, pipeline.Poison,
		pipeline.Undeliverable, pipeline.Fatal:
		return string(class)
	}
	return "unknown"
}
