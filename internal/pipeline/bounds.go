package pipeline

import (
	"cmp"
	"slices"
)

// What bounds how much of a run can be under way at once. Bounds says where each is set and what
// happens at it; no default of a server stands in for one of them.
const (
	HeldAtOnce     = -1      // batches of a run that all workers may hold together: any number
	WaitingPulls   = 4096    // pulls that may wait on a run's queue
	PullPlaces     = 256     // messages that one pull may ask for
	PullsEach      = 4       // pulls that a GPU may have on the queue; one while there is no work
	LeastWindow    = 2000    // batches that a publisher keeps on the queue at least, if there are as many,
	WindowEach     = 3       // and for each worker that is present
	PresenceBytes  = 8 << 20 // that the reports of all consumers may take together, at most
	PresenceKeys   = 10_000  // consumers that a program knows at a time
	SpareWorkers   = 2       // how many more workers a GPU has than slots
	reportBytes    = 400     // of a consumer's report, about, and again for each of its GPUs
	otherSubjects  = 1       // subscriptions of a connection besides those of pulls
	freeAccount    = "a free account of Synadia"
	freeSubjects   = 100 // subscriptions of a connection, with that account
	freeConns      = 10  // connections, with that account
	otherProcesses = 2   // producer and sink
)

// Workers returns how many batches a GPU with this many slots can hold.
func Workers(slots int) int { return slots + SpareWorkers }

// A FleetShape is GPUs of one kind, as far as bounds depend on them. All counts are positive.
type FleetShape struct {
	GPUsEach int // of each consumer
	Slots    int // of each GPU
	Window   int // batches on the queue at a time, if a person has set it; 0: it follows the fleet
	Batches  int // of the run
}

// A Bound is one of them.
type Bound struct {
	Name    string
	SetIn   string // where it is set, and what changes it
	Default int    // -1: there is none
	AtIt    string // what happens to what is beyond it
	Hosted  bool   // it is that of a free account, and a server of one's own has none

	// metAt returns with how many GPUs of all consumers together it is met; 0: never. The limit is
	// the default, or what a person or an account has set.
	metAt func(limit int, f FleetShape) int
}

// Bounds returns the table of all bounds.
func Bounds() []Bound {
	each := func(part func(f FleetShape) int) func(int, FleetShape) int {
		return func(limit int, f FleetShape) int { return limit / max(1, part(f)) }
	}
	onOne := func(part func(f FleetShape) int) func(int, FleetShape) int { // however many consumers there are
		return func(limit int, f FleetShape) int {
			if need := part(f); need > limit {
				return 1
			}
			return 0
		}
	}
	return []Bound{
		{
			Name: "batches in flight", SetIn: "MaxAckPending of the run's durable; an account may have a limit", Default: HeldAtOnce,
			AtIt:  "the queue hands out no further batch until one is finished or handed back",
			metAt: func(int, FleetShape) int { return 0 },
		},
		{
			Name: "waiting pulls", SetIn: "MaxWaiting of the run's durable, when it is made", Default: WaitingPulls,
			AtIt:  "the server leaves a further pull without an answer; its GPU says so and asks again after two heartbeats",
			metAt: each(func(FleetShape) int { return PullsEach }),
		},
		{
			Name: "pulls of one GPU", SetIn: "the consumer", Default: PullsEach,
			AtIt:  "further workers wait until one of the pulls has ended, each of which brings up to 256 batches",
			metAt: onOne(func(FleetShape) int { return 0 }),
		},
		{
			Name: "window of the producer", SetIn: "--window of publish; without it, 2,000 or three for each worker that is present", Default: -1,
			AtIt: "the producer publishes no further batch until a part of the window is free: workers beyond it have no work",
			metAt: func(limit int, f FleetShape) int {
				return cmp.Or(f.Window, max(0, limit)) / Workers(f.Slots)
			},
		},
		{
			Name: "subscriptions of a connection", SetIn: freeAccount + "; a server of one's own has none unless its configuration says so", Default: freeSubjects, Hosted: true,
			AtIt:  "the server refuses a further pull of the consumer, which says so: fewer pulls bring the same work",
			metAt: onOne(func(f FleetShape) int { return f.GPUsEach*PullsEach + otherSubjects }),
		},
		{
			Name: "connections", SetIn: freeAccount + "; max_connections of a server of one's own", Default: freeConns, Hosted: true,
			AtIt:  "a further consumer waits until a connection is free",
			metAt: func(limit int, f FleetShape) int { return (limit - otherProcesses) * f.GPUsEach },
		},
		{
			Name: "batches of a run", SetIn: "load, by the rows, --samples and --batch; their ids have seven digits", Default: MaxBatches,
			AtIt:  "load refuses the dataset; and GPUs for whose workers the run has no batch are idle",
			metAt: func(limit int, f FleetShape) int { return cmp.Or(f.Batches, limit) / Workers(f.Slots) },
		},
		{
			Name: "presence keys", SetIn: "bytes of the bucket gleaner_consumers, 1/64 of --max-bytes, at most 8 MiB", Default: PresenceKeys,
			AtIt: "a further consumer is not shown and not counted among those that serve the run; it works",
			metAt: func(limit int, f FleetShape) int {
				return min(limit, PresenceBytes/(reportBytes*(1+f.GPUsEach))) * f.GPUsEach
			},
		},
	}
}

// A MetBound is a bound and the number of GPUs that meet it.
type MetBound struct {
	Bound
	GPUs int
}

// FirstBound returns the bound that is met with the fewest GPUs of this kind, on a free account or
// on a server of one's own.
func FirstBound(f FleetShape, hosted bool) MetBound {
	var met []MetBound
	for _, b := range Bounds() {
		if b.Hosted && !hosted || b.Default < 0 && f.Window == 0 {
			continue
		}
		if gpus := b.metAt(b.Default, f); gpus > 0 {
			met = append(met, MetBound{b, gpus})
		}
	}
	return slices.MinFunc(met, func(a, b MetBound) int { return cmp.Compare(a.GPUs, b.GPUs) }) // that of the batches is always among them
}
