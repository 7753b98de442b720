package local_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"gleaner/internal/natsd"
	"gleaner/internal/natsd/natsdtest"
	"gleaner/internal/ollamasim"
	"gleaner/internal/ollamasim/simtest"
)

// The server takes messages of 64 KiB. One row is larger than that and ends in a dead letter that
// says so; three others make one batch that is larger, and go out one round after the other. All
// other rows pass.
func TestRowsThatAreTooLargeForNATSHoldUpNoOthers(t *testing.T) {
	t.Parallel()
	const rows = 1500 // the first batches then have three each
	data := writeRows(t, rows, func(i int) string {
		size := 10
		switch {
		case i == 1:
			size = 100 << 10
		case i >= 3 && i < 6:
			size = 45 << 10
		}
		return fmt.Sprintf(`{"question": %q}`, fmt.Sprint(i, " ", noise(size)))
	})
	p := build(t, "sqlite:"+filepath.Join(t.TempDir(), "gleaner.db"))
	nats := natsdtest.Start(t, natsd.Config{Port: -1, Adjust: func(o *server.Options) { o.MaxPayload = 64 << 10 }})
	p.env = append(p.env, "NATS_URL="+nats.URL())
	_, ollama := simtest.Start(t, ollamasim.Config{Models: []string{"sim"}, Instant: true, Context: 200_000})
	p.run("producer", "load", "--run", "r", "--input", data, "--field", "question", "--simulate", "--model", "sim")
	p.start("sink", "serve", "--flush-every", "100ms")
	p.start("consumer", "--run", "r", "--ollama", ollama, "--slots", "8")
	publish := p.start("producer", "publish", "--run", "r", "--follow", "--lease", "3s")
	if code := publish.Wait(); code != 3 {
		t.Fatalf("it ended with %d, want 3:\n%s", code, publish.Said())
	}
	if said := publish.Said(); strings.Count(said, "rows are too large for the NATS server") != 1 || !strings.Contains(said, "1 of 1,500 generations have no answer") && !strings.Contains(said, "1 of 1500 generations have no answer") {
		t.Errorf("it said:\n%s", said)
	}
	var status struct{ Stored int }
	if err := json.Unmarshal(p.run("producer", "status", "--run", "r", "--json"), &status); err != nil || status.Stored != rows-1 {
		t.Errorf("%+v, %v", status, err)
	}
	list, show := string(p.run("producer", "dead", "list", "--run", "r", "--each")), string(p.run("producer", "dead", "show", "--run", "r"))
	for _, part := range []string{"too-large", "65,536 in one (max_payload)", "raise max_payload of the NATS server, or shorten the rows"} {
		if !strings.Contains(list+show, part) {
			t.Errorf("it does not say %q:\n%s%s", part, list, show)
		}
	}
	t.Log(show)
	p.run("producer", "audit", "--run", "r")
}
