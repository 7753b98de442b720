package local_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
	"gleaner/internal/reconcile"
	"gleaner/internal/sink"
)

// What a restored NATS brings back on RESULTS and DEAD of batches that are done is named by an
// audit, which is balanced all the same, and the sink and a sweep remove it.
func TestAnAuditNamesWhatIsLeftOfFinishedBatches(t *testing.T) {
	onEachStore(t, func(p *parts) {
		operator := p.as("producer")
		p.load(6, 1)
		writer, err := sink.New(sink.Config{}, p.as("sink"), p.store)
		p.must(err)
		stopSink := p.start(writer.Run)
		stopConsumer := p.startConsumer(p.as("consumer"))
		p.publish(operator)
		p.waitFor("done", pipeline.Progress.Complete)
		stopConsumer()
		p.checkStreams(operator)
		stopSink()

		copies := newLiar(p)
		for _, batch := range []int{2, 4} {
			copies.send(copies.subject("result", batch)+".0", nil, copies.json(copies.answer(batch, 0)))
		}
		copies.send(copies.subject("dead", 3), nil, copies.json(copies.letter(3, 0)))
		engine := p.engine(p.store, operator)
		audit := func() reconcile.Account {
			p.t.Helper()
			account, err := engine.Audit(p.t.Context(), p.run.Name)
			p.must(err)
			if !account.Balanced() || !account.Complete() {
				p.t.Errorf("the audit says %+v", account)
			}
			return account
		}
		account := audit()
		want := []reconcile.Copies{{Count: 2, Batches: []string{pipeline.BatchID(p.run.Name, 2), pipeline.BatchID(p.run.Name, 4)}}, {Count: 1, Batches: []string{pipeline.BatchID(p.run.Name, 3)}}}
		if diff := cmp.Diff(want, []reconcile.Copies{account.OnResults, account.OnDead}); diff != "" {
			p.t.Errorf("on RESULTS and DEAD (-want +got):\n%s", diff)
		}
		p.startSink()
		_, err = engine.Sweep(p.t.Context(), p.run.Name)
		p.must(err)
		p.checkStreams(operator)
		if account := audit(); account.OnResults.Count+account.OnDead.Count != 0 {
			p.t.Errorf("they are still there: %+v", account)
		}
		p.checkTexts(nil)
	})
}
