package sink

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"gleaner/internal/pipeline"
)

// MirrorPull is how long a pull for dead letters waits for the first; each costs traffic.
const MirrorPull = 2 * time.Minute

const (
	mirrorMost   = 128     // dead letters of one pass
	mirrorAtOnce = 8       // dead letters written to the store at a time, each in one round trip
	maxReason    = 1 << 10 // bytes of a failure's text in the store, which has little room; the letter has all of it
)

// A letter is a dead letter that this process holds.
type letter = pipeline.Delivery[pipeline.StoredDeadLetter]

// A mirror writes to the store which generations are under dead letters. The letters stay on their
// stream, where people read and redrive them. To acknowledge one means that the store has it.
type mirror struct {
	s     *Sink
	check *checker

	quiet quietLog
}

// mirrorDeadLetters runs until ctx ends.
func (s *Sink) mirrorDeadLetters(ctx context.Context) {
	m := &mirror{s: s, check: newChecker(s.store)}
	reading := s.reading("dead letters")
	for ctx.Err() == nil {
		letters, err := s.source.DeadLettersToMirror(ctx, mirrorMost, MirrorPull)
		observe(ctx, reading, err)
		if len(letters) > 0 {
			m.apply(ctx, letters)
		}
	}
}

// apply writes what was delivered to the store, however long it takes, and acknowledges it.
func (m *mirror) apply(ctx context.Context, letters []letter) {
	s := m.s
	stop := renewLeases(ctx, s.log, s.cfg.ExtendEvery, letters)
	defer stop()

	var good []letter
	var idle []ignored
	ok := s.persist(ctx, "checking dead letters", func() (err error) {
		good, idle, err = m.split(ctx, letters)
		return err
	})
	if !ok {
		return
	}
	written := make([]bool, len(good)) // each is written by one goroutine
	ok = s.persist(ctx, "telling the store of dead letters", func() error {
		var group errgroup.Group
		group.SetLimit(mirrorAtOnce)
		for i, d := range good {
			if written[i] {
				continue
			}
			group.Go(func() error {
				_, err := s.store.Fail(ctx, d.Body.Run, d.Body.Batch, d.Body.Round, d.Body.Failed(), brief(d.Body.Message))
				written[i] = err == nil
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
	idle = m.postpone(ctx, idle)
	m.ignore(idle)
	for _, x := range idle {
		good = append(good, x.letter)
	}
	acknowledge(ctx, s.log, good)
	s.log.Debug("dead letters mirrored", zap.Int("told", len(good)-len(idle)), zap.Int("ignored", len(idle)))
}

// An ignored is a dead letter that does not concern the store.
type ignored struct {
	letter letter
	kind   string // foreign, stale, or refused because it comes without its token
	refusal
}

// postpone hands back the letters that another store may know, as Sink.dismiss does with results,
// and returns the others.
func (m *mirror) postpone(ctx context.Context, idle []ignored) []ignored {
	compared, owned := false, true
	return slices.DeleteFunc(idle, func(x ignored) bool {
		if !x.unknown {
			return false
		}
		if x.letter.Deliveries >= 2 {
			if !compared {
				compared, owned = true, m.s.owned(ctx)
			}
			if owned {
				return false
			}
		}
		if err := x.letter.HandBack(ctx, m.s.lease()); err != nil {
			m.s.log.Debug("handing a dead letter back", zap.Error(err))
		}
		return true
	})
}

// split divides dead letters into those that concern the store and those that do not. An error
// comes from the store.
func (m *mirror) split(ctx context.Context, letters []letter) (good []letter, idle []ignored, err error) {
	claims := make([]claim, len(letters))
	for i, d := range letters {
		claims[i] = claim{err: d.Err, run: d.Body.Run, uid: d.Body.UID, batch: d.Body.Batch, round: d.Body.Round, token: d.Body.Token}
		for _, f := range d.Body.Failures {
			claims[i].generations = append(claims[i].generations, generation{f.Index, f.Item, f.Sample})
		}
	}
	refusals, _, err := m.check.refusals(ctx, claims)
	if err != nil {
		return nil, nil, err
	}
	var own []letter
	var refused []round
	for i, d := range letters {
		switch {
		case refusals[i].forged:
			idle = append(idle, ignored{d, "refused", refusals[i]})
			refused = append(refused, round{d.Body.Run, d.Body.Batch, d.Body.Round})
		case refusals[i].reason != "":
			idle = append(idle, ignored{d, "foreign", refusals[i]})
		default:
			own = append(own, d)
		}
	}
	if err := markRefused(ctx, m.s.store, refused); err != nil {
		return nil, nil, err
	}
	batches, err := m.batches(ctx, own)
	if err != nil {
		return nil, nil, err
	}
	for _, d := range own {
		if reason := stale(batches[d.Body.ID()], d.Body.DeadLetter); reason != "" {
			idle = append(idle, ignored{d, "stale", refusal{reason: reason}})
		} else {
			good = append(good, d)
		}
	}
	return good, idle, nil
}

// batches looks up the present state of the batches of dead letters.
func (m *mirror) batches(ctx context.Context, letters []letter) (map[string]pipeline.Batch, error) {
	indexes := map[string][]int{}
	for _, d := range letters {
		indexes[d.Body.Run] = append(indexes[d.Body.Run], d.Body.Batch)
	}
	batches := map[string]pipeline.Batch{}
	for run, of := range indexes {
		slices.Sort(of)
		found, err := m.s.store.BatchesAt(ctx, run, slices.Compact(of))
		if err != nil {
			return nil, err
		}
		for _, b := range found {
			batches[b.ID()] = b
		}
	}
	return batches, nil
}

// stale returns why a dead letter changes nothing any more, or "" if it does. The store decides
// this again when it is written to; here it is for the log.
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

// ignore counts dead letters that do not concern the store, and logs them at a limited rate.
func (m *mirror) ignore(idle []ignored) {
	for _, x := range idle {
		m.s.cfg.Metrics.deadIgnored.WithLabelValues(x.kind).Inc()
		if count, consumers, now := m.quiet.note(x.letter.Body.Consumer); now {
			m.s.log.Warn("dead letters ignored; they stay on their stream", zap.String("subject", x.letter.Subject), zap.Uint64("sequence", x.letter.Body.Sequence),
				zap.Strings("consumers", consumers), zap.String("kind", x.kind), zap.String("reason", x.reason), zap.Int("ignored", count))
		}
	}
}

// brief returns the text of a failure as the store keeps it: short, and without characters that a
// database may refuse.
func brief(text string) string {
	text = strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text[:min(len(text), 4*maxReason)])
	return strings.ToValidUTF8(text[:min(len(text), maxReason)], "")
}

// classLabel returns a class as a label. There may be only a few labels, and a consumer may send
// anything.
func classLabel(class pipeline.Class) string {
	for _, rule := range pipeline.Classes() {
		if rule.Class == class {
			return string(class)
		}
	}
	return "unknown"
}
