package local_test

import (
	"strings"
	"testing"

	"gleaner/internal/natsd"
	"gleaner/internal/natsd/natsdtest"
	"gleaner/internal/store/storetest"
)

// A user of the store that may only read is told so when a program starts that has to write, and
// not at its first result.
func TestProgramsThatWriteSayAtTheirStartThatTheirUserMayOnlyRead(t *testing.T) {
	t.Parallel()
	proxy := storetest.NewMongoProxy(t, storetest.MongoURI(t))
	p := build(t, proxy.URI)
	p.env = append(p.env, "NATS_URL="+natsdtest.Start(t, natsd.Config{Port: -1}).URL())
	p.run("producer", "load", "--run", "r", "--input", writeRows(t, 3, func(int) string { return `{"question": "Why?"}` }), "--field", "question", "--simulate", "--model", "sim")
	proxy.SetReadOnly()
	for _, args := range [][]string{{"sink", "serve"}, {"producer", "publish", "--run", "r", "--follow"}} {
		running := p.start(args[0], args[1:]...)
		if code := running.Wait(); code != 1 || !strings.Contains(running.Said(), "this user may only read: give it the role readWrite on this database") {
			t.Errorf("%v ended with %d:\n%s", args, code, running.Said())
		}
	}
}
