package status

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"gleaner/internal/pipeline"
)

// A Missing consumer was present while somebody looked, and gives no sign of life any more.
type Missing struct {
	Consumer string        `json:"consumer"`
	Host     string        `json:"host"`
	GPUs     int           `json:"gpus"`
	Seen     time.Time     `json:"seen"` // last
	Ago      time.Duration `json:"-"`
	Seconds  float64       `json:"seconds"` // since then
}

// A Roll remembers which consumers of a run were present, and so knows who is missing. The zero
// value is ready for use, by one goroutine.
type Roll struct {
	seen map[string]pipeline.Presence
}

// maxMissing is how many consumers a Roll remembers: a consumer's key suffices to report any number
// of them.
const maxMissing = 1000

// Call takes down who is present now, and returns who is missing, the longest first. A consumer
// that said that it ends is not missing.
func (r *Roll) Call(present []pipeline.Presence, now time.Time) []Missing {
	if r.seen == nil {
		r.seen = map[string]pipeline.Presence{}
	}
	here := map[string]bool{}
	for _, p := range present {
		here[p.ID] = true
		switch _, known := r.seen[p.ID]; {
		case p.Left():
			delete(r.seen, p.ID)
		case known || len(r.seen) < maxMissing:
			r.seen[p.ID] = p
		}
	}
	var missing []Missing
	for _, id := range slices.Sorted(maps.Keys(r.seen)) {
		if p := r.seen[id]; !here[id] {
			ago := max(now.Sub(p.Seen), 0) // its clock may be ahead
			missing = append(missing, Missing{Consumer: id, Host: p.Host, GPUs: len(p.GPUs), Seen: p.Seen, Ago: ago, Seconds: ago.Seconds()})
		}
	}
	slices.SortStableFunc(missing, func(a, b Missing) int { return cmp.Compare(b.Ago, a.Ago) })
	return missing
}

// fleetPatience is how long the streams may take to name the consumers while something else waits.
const fleetPatience = 2 * time.Second

// Fleet adds the consumers of the run that the streams know, and by the roll who is missing. If
// the streams do not answer, the Snapshot stays as it is.
func (s *Snapshot) Fleet(ctx context.Context, streams interface {
	Consumers(ctx context.Context) ([]pipeline.Presence, error)
}, roll *Roll) {
	asking, cancel := context.WithTimeout(ctx, fleetPatience)
	defer cancel()
	all, err := streams.Consumers(asking)
	if err != nil {
		return
	}
	all = slices.DeleteFunc(slices.Clone(all), func(p pipeline.Presence) bool { return p.Run != s.Run })
	s.Missing = roll.Call(all, time.Now())
	s.Consumers, s.MoreConsumers = pipeline.Shown(all)
}
