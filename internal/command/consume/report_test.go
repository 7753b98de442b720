package consume

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"gleaner/internal/pipeline"
)

func TestEachGPUSaysHowFarItIsOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, said := observer.New(zapcore.InfoLevel)
		snapshot := func() pipeline.Presence {
			return pipeline.Presence{GPUs: []pipeline.GPUStatus{
				{Name: "0", State: "serving", Slots: 8, Busy: 7, Generations: 41, TokensPerSecond: 99.6},
				{Name: "1", State: "restarting", Slots: 8},
			}}
		}
		stop := say(t.Context(), time.Minute, snapshot, zap.New(core))
		time.Sleep(2*time.Minute + time.Second)
		stop()
		time.Sleep(time.Hour)
		var lines []string
		for _, entry := range said.All() {
			lines = append(lines, entry.Message)
		}
		if diff := cmp.Diff("serving restarting serving restarting", strings.Join(lines, " ")); diff != "" {
			t.Errorf("said (-want +got):\n%s", diff)
		}
		want := map[string]any{"gpu": "0", "busy": int64(7), "slots": int64(8), "generations": int64(41), "tokens_per_second": int64(100)}
		if diff := cmp.Diff(want, said.All()[0].ContextMap()); diff != "" {
			t.Errorf("the first line (-want +got):\n%s", diff)
		}
	})
}
