package plan

import (
	"fmt"
	"math"
)

// What free accounts offered, according to their documents, when this was written. None of it was
// tried with a real account. How a month's traffic is counted is not documented, so it is compared
// with the bytes on the wire.
const (
	freeTraffic     = 10 << 30 // bytes a month, Synadia Personal
	freeStreams     = 5 << 30  // bytes stored, Synadia Personal
	freeConnections = 10
	freeMessage     = 1 << 20
	freeDatabase    = 512 << 20 // bytes of documents and indexes, Atlas M0
	freeOperations  = 100       // a second, Atlas M0
	freeGPUHours    = 30        // a week of notebook sessions for each person, Kaggle
)

// A Check compares a need with what is free.
type Check struct {
	What   string  `json:"what"`
	Need   float64 `json:"need"`
	Free   float64 `json:"free"`
	Unit   string  `json:"unit"` // "bytes", "", "per second", "hours"
	Fits   bool    `json:"fits"`
	Advice string  `json:"advice,omitempty"` // what to change if it does not fit
}

// Checks compares an estimate with the free tiers.
func (e Estimate) Checks() []Check {
	months := math.Max(1, e.Seconds/month.Seconds())
	sessions := e.Seconds / 3600 * float64(e.Fleet.Consumers)
	rows := int(freeDatabase / e.Database.Bytes() * float64(e.Items))
	return []Check{
		check("NATS traffic a month", e.Traffic.Wire/months, freeTraffic, "bytes", e.trafficAdvice()),
		check("NATS storage", e.Streams, freeStreams, "bytes", "publish fewer batches at a time: --window"),
		check("NATS message", float64(e.Largest), freeMessage, "bytes", "load with a smaller --batch, or shorten the prompts"),
		check("NATS connections", float64(e.Connection), freeConnections, "", fmt.Sprintf("at most %d consumers beside producer and sink", freeConnections-2)),
		check("MongoDB size", e.Database.Bytes(), freeDatabase, "bytes",
			fmt.Sprintf("load some %d rows at a time (--limit), export and delete; leave out columns that are not needed; or use SQLite", rows)),
		check("MongoDB commands", e.PerSecond.Commands, freeOperations, "per second", "let the sink collect for longer: --flush-every 5s"),
		check("MongoDB statements", e.PerSecond.Statements, freeOperations, "per second", "it only slows down: answers wait on the stream; or use fewer GPUs, or SQLite"),
		check("notebook sessions", sessions, freeGPUHours, "hours", fmt.Sprintf("takes %.0f weeks of one person's quota, or as many people", math.Ceil(sessions/freeGPUHours))),
	}
}

func check(what string, need, free float64, unit, advice string) Check {
	c := Check{What: what, Need: need, Free: free, Unit: unit, Fits: need <= free}
	if !c.Fits {
		c.Advice = advice
	}
	return c
}

func (e Estimate) trafficAdvice() string {
	rows := int(freeTraffic / e.Traffic.Wire * float64(e.Items))
	if fixed := e.Traffic.Wire - e.PerBatch.Wire; fixed > e.Traffic.Wire/2 {
		return "most of it is waiting and watching: use more GPUs for less time, and end sink and producer in between"
	}
	return fmt.Sprintf("load some %d rows a month (--limit), use a larger --batch, or run a NATS server of your own", rows)
}
