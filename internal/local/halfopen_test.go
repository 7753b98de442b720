//go:build unix

package local_test

import (
	"slices"
	"testing"
	"time"
)

// A connection to NATS that is neither alive nor dead is found by each program, which works again
// on a new one.
func TestAHalfOpenConnectionToNATSIsFound(t *testing.T) {
	t.Parallel()
	a := startAway(t, *build(t, ""), "NATS", 0, nil)
	network := a.beforeNATS()
	a.env = append(slices.Clone(a.env), "NATS_URL=nats://"+network.Addr())
	a.load()
	sink := a.program("sink", "serve", "--flush-every", "50ms", "--lease", "3s")
	worker := a.worker("--run", "r", "--stay")
	publish := a.program("producer", "publish", "--run", "r", "--follow", "--lease", "3s")
	eventually(t, func() bool { return a.stored() >= awayRows/4 }, a.said)

	a.leaves("")
	frozen := time.Now()
	network.Freeze()
	for _, p := range a.running {
		p.WaitFor("lost the connection to NATS")
		t.Logf("the %s has found it after %.1f s", p.name, time.Since(frozen).Seconds())
	}
	for _, p := range a.running {
		p.WaitFor("connected to NATS again")
		t.Logf("the %s has a connection again after %.1f s", p.name, time.Since(frozen).Seconds())
	}
	before := a.stored()
	eventually(t, func() bool { return a.stored() > before }, a.said)
	t.Logf("answers are stored again after %.1f s", time.Since(frozen).Seconds())
	// The PINGs find it after 15 s, and the rest is a margin.
	if took := time.Since(frozen); took > 30*time.Second {
		t.Errorf("they are at work again after %s", took)
	}
	a.phase("half-open", publish.ends)
	sink.Stops()
	worker.Stops()
	a.account()
}
