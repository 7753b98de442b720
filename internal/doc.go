// Package internal holds everything that Gleaner's programs are made of. This page is the map of
// its packages. How one batch passes through them, file by file, is in docs/walkthrough.md, and
// why they are cut this way in docs/decisions.
//
// # The nouns
//
// pipeline says what a run, an item, a generation, a batch, a result, a dead letter and a failure
// are, what their ids look like, what their limits are, and how work and results are written down
// on their way. One table in it says what each class of failure means. It imports the standard
// library only, and every other package speaks in its terms.
//
// prompt makes the messages of a request from a row. prompt/jinja does so by templates of Jinja, as
// people know them from Python; prompt/chat makes them from a chat that the row holds, in the forms
// that datasets have, and finds columns in a row.
//
// # The adapters
//
// An adapter speaks to one outside thing, and nothing else speaks to that thing. It knows pipeline
// and its own driver, and no other adapter. It sets the class of a failure, because it is where
// the failure happens.
//
//   - dataset: rows of files, in and out: JSON in its forms, tables, plain or compressed;
//     dataset/parquet the same for Parquet.
//   - export: the answers of a run as files that people train on: layouts, names of columns,
//     formats, and a mark beside each file, so that only Gleaner's own are overwritten.
//   - store: the truth about all runs, in MongoDB or SQLite. Both pass one suite, store/storetest.
//   - stream: the work queue, the results, the dead letters and the consumers' presence, in NATS
//     JetStream.
//   - natsd: a NATS server in this process, for one machine and for tests.
//   - ollama: one answer from a model. ollama/ollamatest is the suite that the real server and
//     the simulated one pass; ollama/serve runs a server on each GPU.
//   - folder: the store and the queue of gleaner run, for other commands, while it works and after.
//   - gpu: which GPUs this machine has.
//   - disk: how much is free on its disks.
//   - invite: one string with all that a helper needs; invite/sign makes it, with an account's key.
//   - holdings: what a consumer of this machine holds of the queue, for the next one if it is
//     killed.
//   - hub: datasets and files from elsewhere into a cache of this machine, and a finished dataset
//     to Hugging Face's hub. hub/hubtest is a hub in the test's process, with faults to choose.
//   - telemetry: the log, and health over HTTP; telemetry/metrics adds Prometheus for programs
//     that may link it.
//
// Two stand-ins have faults to choose: ollamasim is an Ollama server without a model, with slots
// and a token rate; faultproxy is a network that delays, stalls and cuts.
//
// # The engines
//
// An engine makes the decisions. It declares the two or three methods that it needs of the
// outside in its own files, and a command hands it the adapters that have them. So an engine does
// not know which store or which queue it works with, and its tests need neither a socket nor a
// clock. It has New, which checks its Config, and Run, which ends with its context.
//
//   - producer: rows become items and batches, batches are published, a run is followed to its
//     end, paused, pinned, cancelled and deleted.
//   - consumer: a lane for each GPU, whose workers take a batch, generate, publish, acknowledge.
//   - sink: results are checked, stored, and only then acknowledged; a run is exported.
//   - reconcile: where is this batch? What the streams lost is queued again, doubtful verdicts get
//     a second opinion, dead letters are redriven or dropped, and an audit proves that nothing is
//     missing.
//   - plan: what a run will cost, and whether that fits into free accounts. The adapters say what
//     an exchange or a document costs, and it knows how many there will be.
//   - doctor: whether NATS, store, model server, GPUs and this machine are in order, and what to do
//     if not.
//   - ownership: whose the streams are. It keeps the programs of one store from working on those of
//     another.
//   - status: what a person wants to know about a run, from the store and the streams together.
//
// # The parts of engines
//
// A part stands alone, and an engine uses it through a few methods.
//
//   - autotune: the number of slots with which a GPU is fastest, found while it works.
//   - supervise: keeps one model server alive: preparation, health checks, restarts.
//   - outage: waits while something is away, and says once that it is and once that it is back.
//   - failures: sorts why generations have no answer by class and cause, and knows what helps each.
//   - thinking: tells the thinking of a model from its answer, where both came in one text. Each
//     adapter of a model server uses it.
//   - schema: whether an answer fits the JSON Schema that was asked for, and what of it is only
//     wrapping. The flags and the consumer read schemas by it.
//   - advice: spells the commands that messages tell people to give, for the program that they use.
//   - text: shortens foreign text and makes it safe to show and to store. It knows nothing of the
//     project.
//
// # The commands and the programs
//
// command has a file for each command: it parses, builds its parts, runs one engine and draws.
// command/consume stands apart, so that the consumer links no driver. lanes makes the lanes of a
// consumer of Ollama servers, those that run and those that are started on GPUs. view is how
// everything looks as text. cli is the frame of all programs: signals, parsing, exit codes, groups
// of flags.
// cli/jobfile reads flags from a file.
//
// The programs list their commands and do nothing else: producer, consumer and sink at the top,
// and deploy/gleaner, which has all of them. local puts all engines into one process, on natsd and
// SQLite, for the command run; its test is the end-to-end test. tools/release, tools/bench,
// tools/chaos and tools/tinymodels are programs for those who work on Gleaner: they build the
// archives, measure, inject faults, and give a test's server its models.
//
// # Who may import whom
//
// Programs import commands, commands import engines, adapters and views, and all of them import
// pipeline; nothing points the other way. A package whose name ends in "test" is imported by tests
// only. The consumer runs in other people's notebooks and stays slim: it links no database driver,
// no embedded server and no Prometheus. The table in imports_test.go is this map in a form that a
// test enforces. A further import is a line in that table, in the same commit, with the reason.
//
// # Words of our own
//
// The field's usual word is used where there is one. These words are left, and each says why:
//
//   - run: one job with all its data. "Job" is what schedulers call a process, and Kubernetes, in
//     which a run may be published, has Jobs of its own.
//   - item: a row as the store keeps it, with its number. "Row" is what a file has.
//   - generation: one answer that is wanted, before it exists. "Sample" is its number within an
//     item; "completion" and "result" are what came of it.
//   - batch: consecutive generations in one message. Not what a server computes in one step, which
//     Ollama calls a batch, too, and we call slots.
//   - round: how often a batch was put on the queue. "Attempt" is taken for one request to a model,
//     "delivery" for what the broker counts.
//   - slot: one generation at a time on a GPU. "Concurrency" is a number, and a slot is held and
//     released; the servers say slot, too.
//   - lane: one GPU of a consumer with its server, slots, workers and breaker. "GPU" is the device,
//     "worker" is one goroutine of a lane. People only ever see the word GPU.
//   - consumer: the process that drives GPUs. JetStream's consumers are called durables here, and
//     only stream knows them.
//   - dead letter: the broker's usual word, but for a record of ours: the generations of one batch
//     that failed in one round, with all that is needed to repeat them.
//   - disposition: what a dead letter is worth now: whether it still says something about its
//     batch, or is out of date. "State" is the batch's.
//   - verdict: why a generation has no answer, as one GPU found. "Error" is what a single request
//     ends with; a verdict comes after all tries, and another GPU's may be different.
//   - second opinion: a further round of a batch on another GPU, because the verdict may be the
//     fault of the one that gave it. "Retry" is what one GPU does by itself, and a redrive is what
//     a person asks for.
//   - pin: the digest of the model's weights of which a run takes answers. A digest says which
//     weights something is made of; the pin says which it has to be, and a person can change it.
//   - sink: what writes results to the store. "Writer" is anything that writes, and "collector"
//     is Prometheus's word.
//   - mirror: the part of the sink that copies dead letters into the store.
//   - reconcile: comparing what the store says with what the streams hold, and repairing the
//     difference. The word is Kubernetes's, with the same meaning.
//   - redrive: giving dead letters another round. The word is that of Amazon SQS.
//   - canary: a harmless prompt that shows whether a server still answers anything.
package internal
