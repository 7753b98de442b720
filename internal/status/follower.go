package status

import (
	"context"
	"time"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

const (
	rateOver   = 30 * time.Second // the period of the rates of a run that is followed
	quietFor   = 5 * time.Second  // without progress, after which the streams are asked why
	askAgain   = 8 * time.Second  // between two questions at first
	askSeldom  = time.Minute      // the same of a run that has waited for long
	waitedLong = 10 * time.Minute
)

// A Follower takes Snapshots of a run that a process follows. It asks the streams only
// while nothing comes: each question costs traffic. It is for one goroutine.
type Follower struct {
	streams Streams
	present func() []pipeline.Presence // those of this process; nil: the streams know them

	began   time.Time
	looks   []look // of the last rateOver, oldest first, at most one for each second
	changed time.Time
	asked   time.Time
	heard   heard
}

// A look is how far the run was.
type look struct {
	at             time.Time
	stored, tokens int
}

// heard is what the streams said last.
type heard struct {
	depth     *pipeline.StreamDepth
	info      *pipeline.RunInfo
	consumers []pipeline.Presence
	err       error
}

// NewFollower returns a follower. Present, which may be nil, returns the consumers where they are
// all in this process.
func NewFollower(streams Streams, present func() []pipeline.Presence) *Follower {
	return &Follower{streams: streams, present: present}
}

// Look returns the Snapshot of a run of which the store says this, or said it before it was away.
func (f *Follower) Look(ctx context.Context, run pipeline.Run, p pipeline.Progress, away error, now time.Time) Snapshot {
	s := base(run, p)
	f.saw(p, now)
	quiet := now.Sub(f.changed)
	if quiet < quietFor {
		f.heard = heard{}
	} else if every := askEvery(quiet); now.Sub(f.asked) >= every {
		f.heard = f.ask(ctx, run.Name)
		f.asked = now
	}
	g := signs{now: now, run: run, last: p.LastDone, away: away, depth: f.heard.depth, info: f.heard.info}
	if f.changed.After(g.last) && f.changed.After(f.began) {
		g.last = f.changed
	}
	switch {
	case f.present != nil:
		s.Consumers, g.sees = f.present(), true
		g.present = s.Consumers
	case f.heard.depth != nil:
		g.present, g.elsewhere = of(run.Name, f.heard.consumers)
		g.sees = true
		s.Consumers = append(s.Consumers, g.present...)
	}
	if f.heard.err != nil {
		s.StreamError = f.heard.err.Error()
	}
	if f.heard.info != nil {
		s.AwaitOpinion = f.heard.info.AwaitOpinion
	}
	s.Consumers, s.MoreConsumers = pipeline.Shown(s.Consumers)
	s.Resting = restingOf(s.Consumers)
	s.rate(p, now)
	f.rate(&s)
	s.decide(g)
	return s
}

// saw takes in how far the run is.
func (f *Follower) saw(p pipeline.Progress, now time.Time) {
	is := look{now, p.Stored + p.Failed + p.Dropped, p.OutputTokens}
	if len(f.looks) == 0 {
		f.began, f.changed = now, now
		f.looks = []look{is}
		return
	}
	last := f.looks[len(f.looks)-1]
	if last.stored != is.stored || last.tokens != is.tokens {
		f.changed = now
	}
	if now.Sub(last.at) >= time.Second {
		f.looks = append(f.looks, is)
	}
	for len(f.looks) > 2 && now.Sub(f.looks[1].at) >= rateOver {
		f.looks = f.looks[1:]
	}
}

// rate sets the rates to those of the last half minute, once the run was followed for so long: what
// was stored just before is not seen by it.
func (f *Follower) rate(s *Snapshot) {
	first, last := f.looks[0], f.looks[len(f.looks)-1]
	over := last.at.Sub(first.at)
	if over < rateOver || last.tokens == first.tokens {
		return
	}
	s.TokensPerSecond = float64(last.tokens-first.tokens) / over.Seconds()
}

func askEvery(quiet time.Duration) time.Duration {
	if quiet > waitedLong {
		return askSeldom
	}
	return askAgain
}

func (f *Follower) ask(ctx context.Context, run string) (h heard) {
	if f.streams == nil {
		return h
	}
	asking := outage.WithPatience(ctx, streamsPatience)
	depth, err := f.streams.Depth(asking, run)
	if err != nil {
		return heard{err: err}
	}
	info, err := f.streams.RunInfo(asking, run)
	if err != nil {
		return heard{err: err}
	}
	if depth.Waiting == 0 {
		depth.Full = f.streams.NoRoom(asking, depth.Held > 0)
	}
	h = heard{depth: &depth, info: &info}
	if f.present == nil {
		if h.consumers, err = f.streams.Consumers(asking); err != nil {
			return heard{err: err}
		}
	}
	return h
}
