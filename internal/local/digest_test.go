package local_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"gleaner/internal/pipeline"
)

// Two digests under the name of one model.
var oneDigest, otherDigest = strings.Repeat("1", 64), strings.Repeat("2", 64)

// Answers of two digests come at once, and two sinks take them: one digest wins, on both stores,
// and every batch with an answer of the other one is marked for another round.
func TestTwoSinksAtOnceAgreeOnOneDigest(t *testing.T) {
	const items, batch = 200, 4
	onEachStore(t, func(p *parts) {
		operator, worker := p.as("producer"), p.as("consumer")
		p.load(items, batch)
		p.must(operator.EnsureRun(p.t.Context(), p.run))
		planned, err := p.store.Batches(p.t.Context(), p.run.Name, pipeline.Planned, 0, items/batch)
		p.must(err)
		p.publishSome(operator, planned)
		var group errgroup.Group
		for i, digest := range []string{oneDigest, otherDigest} {
			group.Go(func() error {
				for b := i; b < items/batch; b += 2 {
					m := pipeline.Results{Run: p.run.Name, UID: p.run.UID, Batch: b, Round: 1, Token: p.run.Key.Token(p.run.UID, b, 1), Consumer: "01" + digest[:8], GPU: "T4", Engine: pipeline.Ollama, Digest: digest}
					for index := range batch {
						m.Results = append(m.Results, pipeline.Result{Index: index, Item: b*batch + index, Text: digest, Finish: pipeline.FinishStop, CreatedAt: time.Now().UTC()})
					}
					if err := worker.PublishResults(p.t.Context(), m); err != nil {
						return err
					}
				}
				return nil
			})
		}
		for range 2 {
			p.startSink()
		}
		p.must(group.Wait())
		var depth pipeline.StreamDepth
		eventually(p.t, func() bool {
			depth, err = operator.Depth(p.t.Context(), p.run.Name)
			p.must(err)
			return depth.Results == 0
		}, func() string { return fmt.Sprintf("the streams hold %+v", depth) })

		run, err := p.store.Run(p.t.Context(), p.run.Name)
		p.must(err)
		counts, err := p.store.Digests(p.t.Context(), p.run.Name)
		p.must(err)
		if len(counts) != 1 || counts[0].Answers != items/2 || counts[0].Digest != run.Pins[pipeline.Ollama] {
			p.t.Errorf("stored are %+v, and the run is pinned to %v", counts, run.Pins)
		}
		progress, err := p.store.Progress(p.t.Context(), p.run.Name, time.Now())
		p.must(err)
		if progress.Refused != items/batch/2 || progress.Batches[pipeline.Done] != items/batch/2 {
			p.t.Errorf("the progress is %+v", progress)
		}
		if n := p.counted("gleaner_results_other_digest_total"); n != items/batch/2 {
			p.t.Errorf("%g messages are counted as of another digest", n)
		}
	})
}
