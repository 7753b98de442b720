package reconcile

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

// The state machines need more than rapid's hundred tries of thirty steps to find what takes
// several faults in a row. The command line can still set another number.
func TestMain(m *testing.M) {
	for name, value := range map[string]string{"rapid.checks": "1000", "rapid.steps": "60"} {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}
