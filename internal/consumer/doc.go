// Package consumer is the engine of the GPU's side: for each GPU a set of workers that take
// batches, generate their answers, publish these, then a dead letter for what cannot be answered,
// and only then release the batch.
//
// # The way of a batch
//
//	source -> lane -> collector
//
// A worker leads a batch along this way. The source hands out a delivery and renews its lease. The
// lane, one GPU with its model server, generates the batch; what comes of it is an outcome. The
// collector publishes the outcome, and acknowledges the batch or hands it back.
//
// # What a lane decides
//
//   - The breaker: whether the GPU takes work at all. It opens when the next batch would fail, too,
//     when the GPU gave only verdicts for a while and may be broken, and while it must not work.
//   - The limiters: how many batches are in hand, and how many generations run at a time.
//   - The batch times: whether another batch would end before the deadline.
//   - The model guard: whether the server has the run's model, before and after each batch.
//   - The prompt check: whether the server reads whole prompts.
//   - The yield: when it keeps out of the way of messages that another GPU has to try.
//   - The record: which of its verdicts are proven, because it answered something after them.
//   - A retry: what is tried after a generation failed, by attempts, each of which is one request.
//
// # What tells a generation's failures from its server's
//
// A retry asks what the other requests on its GPU have shown, and only it knows its generation:
//
//   - inflight has all requests that the server has, and finds those that get no token any more.
//     The loading of a model, the server's own queue and a long prompt are only waiting.
//   - recovery keeps requests back after a crash or a stall until the server says a word.
//   - busyWait keeps them back while the server asks to wait.
//   - evidence counts what is answered, what fails and what crashes the runner. So a generation is
//     unanswered only if the model answers others meanwhile, and poison only if it crashes the
//     runner more often than chance does.
//
// A verdict, why a generation has no answer, is one GPU's word. It names its judge and all that
// tells whether another GPU may do better, and the dead letter carries it. A batch that comes with
// earlier verdicts is passed on by the lanes that gave them.
//
// The options of a request pass through as they are: a new one is a field of pipeline.Options and
// a line in each adapter of a model server.
//
// What a class of failure means stands in pipeline's table. failure.go asks it for a batch and its
// GPU, retry.go for what is tried next, and record.go for what a verdict says about the GPU.
//
// # The consumer around it
//
// The run watch asks the queue what the run requires and how many GPUs serve it, and the lanes
// judge by that whether they may work. Consumer starts the workers, the supervisors of servers that
// it runs itself (package supervise), and the search for the best number of slots (package
// autotune). How it ends stands at shutdown. ChooseRun and LoadModel are what comes before: which
// run to work for, and with which model.
package consumer
