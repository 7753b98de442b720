package consume

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"gleaner/internal/cli"
)

func TestTheLogSaysWhenTheConsumerWillEnd(t *testing.T) {
	now := time.Date(2026, 3, 1, 20, 0, 0, 0, time.FixedZone("CET", 3600))
	for name, c := range map[string]struct {
		flags endingFlags
		want  map[string]any
	}{
		"for":               {endingFlags{EndFlags: cli.EndFlags{For: 700 * time.Minute}}, map[string]any{"at": "2026-03-02 07:40:00 CET", "in": 700 * time.Minute, "because_of": "--for"}},
		"until, in a zone":  {endingFlags{EndFlags: cli.EndFlags{Until: "2026-03-01T20:00:00Z"}}, map[string]any{"at": "2026-03-01 21:00:00 CET", "in": time.Hour, "because_of": "--until"}},
		"until, in the day": {endingFlags{EndFlags: cli.EndFlags{Until: "07:30"}}, map[string]any{"at": "2026-03-02 07:30:00 CET", "in": 690 * time.Minute, "because_of": "--until"}},
		"never":             {endingFlags{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			core, said := observer.New(zapcore.InfoLevel)
			deadline, err := c.flags.Deadline(now)
			if err != nil {
				t.Fatal(err)
			}
			c.flags.sayEnd(zap.New(core), deadline, now)
			var got map[string]any
			for _, entry := range said.All() {
				got = entry.ContextMap()
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
