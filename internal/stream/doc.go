// Package stream is the transport: three NATS JetStream streams, WORK, RESULTS and DEAD, a
// durable for each run, and the presence of the consumers. No other package speaks to NATS.
//
// JetStream's own consumers are called durables here, because a consumer is the process in a
// notebook.
//
// The rules that this package keeps were measured, and the tests check them:
//   - A pull is never cancelled: the server could have answered it already, and the message would
//     belong to no worker until its lease ends. A place in a pull for which no worker waits any
//     more stays on the server, and what comes for it is handed back.
//   - The server accepts an ack from any process. A worker that lost the lease may still ack, but
//     never hand back or reject.
//   - Nothing is sent late: while there is no connection a publish fails at once and is tried
//     again, it is not buffered. A hand-back that arrives after its lease would take the message
//     from its next holder.
//   - A batch is outstanding once, because WORK takes one message for each subject. No
//     deduplication window is used.
//
// # The order of events
//
// Three places depend on the order in which things happen. Each describes it where the code is:
// Source says what becomes of a pull, the receipt type when an ack, a renewal or a hand-back may be
// sent, and the provisioner how streams are created while other processes do the same.
//
// # The files
//
// From the bottom up, each needing only those before it:
//   - names, errors, codec, credentials, address, dialer, pending: what needs no connection.
//   - config, client, calls, connect: a connection and its calls.
//   - account, streams, ensure_durable, runmeta, ensure: what has to exist on the server.
//   - durable, fetch, receipt, delivery, take, source: how messages are taken.
//   - publish, backpressure, usage: how messages are sent.
//   - conn: all of it together. Its methods stand in work, results, deadletters, browse, run,
//     control, lookup and presence.
//   - traffic: what it all costs.
package stream
