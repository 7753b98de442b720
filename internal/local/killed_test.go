package local_test

import (
	"fmt"
	"testing"
	"time"

	"gleaner/internal/cli/processtest"
	"gleaner/internal/ollamasim"
	"gleaner/internal/ollamasim/simtest"
	"gleaner/internal/store"
)

const (
	killedRows = 2000
	mostTwice  = 0.02 // of them may be generated again
)

// What a killed consumer held is generated again, and nothing else: of 2,000 generations at most
// one in fifty, with all settings that decide about it, batch and slots, at their defaults.
func TestAKilledConsumerCostsHardlyAnyGenerationTwice(t *testing.T) {
	p := withNATS(t)
	input := writeRows(t, killedRows, func(i int) string { return fmt.Sprintf(`{"question": "What is %d and %d?"}`, i, i) })
	p.run("producer", "load", "--run", "words", "--input", input, "--field", "question", "--simulate", "--model", "sim")
	store, err := store.Open(t.Context(), p.uri)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	p.start("sink", "serve", "--flush-every", "100ms")
	publish := p.start("producer", "publish", "--run", "words", "--follow", "--lease", "3s")
	var gpus []*ollamasim.Server
	var consumers []*processtest.Process
	for range 2 {
		gpu, url := simtest.Start(t, ollamasim.Config{Models: []string{"sim"}, Slots: 8, Speed: 200, ChunkEvery: 20 * time.Millisecond})
		gpus = append(gpus, gpu)
		consumers = append(consumers, p.start("consumer", "--run", "words", "--ollama", url))
	}
	waitForStored(t, store, killedRows/2)
	if err := consumers[0].Cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if code := publish.Wait(); code != 0 {
		t.Fatalf("producer publish ended with %d:\n%s", code, publish.Said())
	}
	if gpus[0].Stats().Requests == 0 || gpus[1].Stats().Requests < killedRows/2 {
		t.Errorf("the killed consumer's GPU generated %+v, the other's %+v", gpus[0].Stats(), gpus[1].Stats())
	}
	executed := gpus[0].Stats().Requests + gpus[1].Stats().Requests // including those that the kill cut off
	t.Logf("%d generations executed for %d needed: %.4f", executed, killedRows, float64(executed)/killedRows)
	if executed > killedRows*(1+mostTwice) {
		t.Errorf("%d generations were executed for %d needed", executed, killedRows)
	}
}
