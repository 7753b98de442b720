// Package internal holds everything that Gleaner's programs are made of. This page is the map of
// its packages.
//
// # The nouns
//
// pipeline says what a run, an item, a generation, a batch, a result and a failure are, how their
// ids look, what their limits are, and how work and results are written down on their way. It
// imports the standard library only, and every other package speaks in its terms.
//
// # The adapters
//
// An adapter speaks to one outside thing, and nobody else speaks to that thing. It knows pipeline
// and its own driver, and no other adapter. It sets the class of a failure, because it is where
// the failure happens.
//
//   - dataset: rows of a file, in and out, JSON Lines, plain or compressed.
//   - store: the ledger of all runs, in MongoDB or SQLite. Both pass one suite, store/storetest.
//   - stream: the work queue, the results and the consumers' presence, in NATS JetStream.
//   - natsd: a NATS server in this process, for local mode and tests.
//   - ollama: one answer from a model. ollama/ollamatest is the suite that the real server and
//     the simulated one pass; ollama/serve runs a server on each of this machine's GPUs.
//   - gpu: the GPUs of this machine.
//   - faultproxy: a network that delays, stalls and cuts, for measurements and chaos.
//   - ollamasim: an Ollama server without a model, with slots, a token rate and faults to choose.
//   - telemetry: the log, and the health over HTTP; telemetry/metrics adds Prometheus for who may
//     link it.
//
// # The engines
//
// An engine makes the decisions. It declares the two or three methods that it needs of the
// outside in its own files, and a program hands it the adapters that have them. So an engine does
// not know which store or which queue it works with, and its tests need neither a socket nor a
// clock.
//
//   - producer: rows become items and batches, batches are published.
//   - consumer: one set of workers for each GPU: take a batch, generate, publish, acknowledge.
//   - sink: results are checked, stored, and only then acknowledged; a run is exported.
//   - reconcile: where is this batch? What the streams lost is queued again, dead letters are
//     redriven or dropped, and an audit proves that nothing is missing.
//   - plan: what a run will cost, and whether that fits into free tiers. The adapters tell what
//     an exchange or a document costs, it knows how many there will be.
//   - status: what a person wants to know about a run, from the store and the stream together.
//
// # The parts of engines
//
// A part stands alone, and an engine uses it through a few methods.
//
//   - autotune: the number of slots with which a GPU is fastest, found while it works.
//   - supervise: keeps one model server alive: preparation, health checks, restarts.
//
// # The programs
//
// The folders producer, consumer and sink at the top are programs: each parses its flags, builds
// its parts, runs one engine and exits. cli is the frame that they share. local puts all engines
// into one process, on natsd and SQLite; its program is deploy/gleaner, and its test is the
// end-to-end test. tools/release, tools/bench and tools/chaos are programs for those who work on
// Gleaner: they build the archives, measure, and break things on purpose.
//
// # Who may import whom
//
// Programs import engines and adapters, and all of them import pipeline; nothing points the other
// way. A package whose name ends in "test" is imported by tests only. The consumer runs in other
// people's notebooks and stays slim: it links no database driver, no embedded server and no
// Prometheus. The table in imports_test.go is this map in a form that a test enforces; who needs
// a further edge changes the table in the same commit and says why.
package internal
