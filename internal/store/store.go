// Package store keeps the ledger: runs, items, batches and results, in MongoDB or in SQLite, with
// idempotent writes.
package store

import (
	"context"
	"iter"
	"time"

	"gleaner/internal/pipeline"
)

// A Store is the ledger of all runs, and the truth about them. It is the sum of the roles below. An
// engine that needs less declares the methods that it calls, or takes one of the roles.
//
// All methods may be called from several goroutines and from several processes at once. A method
// that fails because of the store returns an error with a *pipeline.Failure in its tree: Retryable
// if the same call may succeed later by itself (a server that is away, a lock, a timeout, a full
// database that someone makes room in), Fatal if a person has to act first (credentials refused, a
// damaged file, no such run). If the caller's context ended, the error is the context's and has no
// class.
type Store interface {
	RunStore
	PauseStore
	Loader
	BatchStore
	ResultStore
	AnswerReader
	PresenceStore
	IdentityStore
	Connection
}

// A RunStore keeps the runs themselves: what each one generates, and in which state it is.
type RunStore interface {
	// CreateRun stores a run in state loading unless a run of its name exists in any state, and
	// returns the stored run. A run that is being deleted exists until its deletion is complete.
	CreateRun(ctx context.Context, run pipeline.Run) (stored pipeline.Run, created bool, err error)
	// Run returns a run, or pipeline.ErrNoRun.
	Run(ctx context.Context, name string) (pipeline.Run, error)
	// Runs returns all runs by name.
	Runs(ctx context.Context) ([]pipeline.Run, error)
	// CountRuns counts the runs in a state. It costs little, however many there are, so that it can
	// be asked every few seconds.
	CountRuns(ctx context.Context, state pipeline.RunState) (int, error)
	// Seal opens a run that is loading, with its number of batches. It does nothing to a run in
	// another state, and returns pipeline.ErrNoRun if there is none.
	Seal(ctx context.Context, name string, batches int) error
	// Pin sets the digest of an engine's model from one value to another, and returns the one that
	// is set then: to, if it was from, else what another process has set. Empty is not pinned.
	Pin(ctx context.Context, run string, engine pipeline.EngineName, from, to string) (pinned string, err error)
	// Cancel ends a run that is loading or open: nothing more of it is published. It does nothing
	// to a run in another state.
	Cancel(ctx context.Context, name string) error
	// DeleteRun removes a run and all that belongs to it, or returns pipeline.ErrNoRun if there
	// is none. It marks the run as deleting first and removes it last, so that an interrupted
	// call is repeated safely. Progress, which may be nil, gets the number of documents removed
	// so far.
	DeleteRun(ctx context.Context, name string, progress func(removed int)) error
}

// A PauseStore knows which runs are paused, and since when and why.
type PauseStore interface {
	// Pause writes down that a run is paused, since when and why. It does nothing to a run that is
	// paused already, or is not open, or is another load than the one with this uid.
	Pause(ctx context.Context, name, uid string, pause pipeline.RunPause) error
	// Resume ends the pause of a run at a time, under the same rules.
	Resume(ctx context.Context, name, uid string, at time.Time) error
}

// A Loader takes the items and batches of a run that is loading, in chunks, and knows where an
// interrupted load goes on.
type Loader interface {
	// PutItems stores items that do not exist yet. Callers write a run's items in order, in calls
	// of at most LoadChunk, all of one run. If the run does not exist or is being deleted, it
	// stores nothing and returns pipeline.ErrNoRun.
	PutItems(ctx context.Context, items []pipeline.Item) error
	// PutBatches stores batches that do not exist yet, under the same rules.
	PutBatches(ctx context.Context, batches []pipeline.Batch) error
	// Loaded returns how many of a run's first items and batches are certainly stored, no matter
	// when its load was interrupted.
	Loaded(ctx context.Context, run string) (items, batches int, err error)
}

// A BatchStore keeps the state of each batch. Every change depends on the state or round in which
// the caller saw the batch, so that two processes never overwrite each other's decisions.
type BatchStore interface {
	// Batches returns batches of a run in a state, in order, beginning with index from, at most
	// count.
	Batches(ctx context.Context, run string, state pipeline.BatchState, from, count int) ([]pipeline.Batch, error)
	// BatchesAt returns the batches of a run with these indexes, in any order; those that do not
	// exist are left out.
	BatchesAt(ctx context.Context, run string, indexes []int) ([]pipeline.Batch, error)
	// MarkQueued sets those of the batches that are still planned to queued, and settles them: what
	// failed at once may be known before.
	MarkQueued(ctx context.Context, run string, indexes []int, at time.Time) error
	// Requeue starts a new round if the batch is still in the state and round in which it was
	// seen: it sets it to queued, adds 1 to the round, empties Failed and sets Opinions. It
	// reports whether it did.
	Requeue(ctx context.Context, seen pipeline.Batch, opinions int, at time.Time) (bool, error)
	// Fail records indexes that failed in a round, and the last failure's text, and settles the
	// batch's state (see pipeline.Batch.Settle). It reports whether the batch is dead now. To
	// a batch that is done, in another round or missing it does nothing, and reports false.
	Fail(ctx context.Context, run string, index, round int, failed []int, message string) (bool, error)
	// Drop gives up a batch that is dead or queued, if it is still in the state and round in which
	// it was seen. It reports whether it did.
	Drop(ctx context.Context, seen pipeline.Batch) (bool, error)
	// Refuse marks a batch of this round that is queued, or planned and perhaps published already:
	// an answer of it was refused, so it may need another round. It reports whether it did.
	Refuse(ctx context.Context, run string, index, round int) (bool, error)
}

// A ResultStore takes the answers. The first one that is stored for a generation never changes.
type ResultStore interface {
	// WriteResults stores results. If a generation has one already, that one stays as it is.
	// Then it adds the results to their batches and settles these. The caller has checked that
	// the generations belong to the batches. Several of the messages may hold results of one
	// batch, and messages may be written any number of times. Results whose batch does not exist,
	// because their run was deleted in the meantime, are left out and not counted.
	WriteResults(ctx context.Context, results []pipeline.Results, at time.Time) (pipeline.Written, error)
}

// An AnswerReader reads the contents of a run: its rows, its answers, and how far it is.
type AnswerReader interface {
	// Items returns the items first, first+1, … of a run, at most count, and ends before one
	// that is missing.
	Items(ctx context.Context, run string, first, count int) ([]pipeline.Item, error)
	// Progress counts a run; one that does not exist is all zero. Batches that were done at since
	// or later count as recent. It reads all batches of the run, which takes about 0.1 s for
	// 100,000 of them, so call it every few seconds at most.
	Progress(ctx context.Context, run string, since time.Time) (pipeline.Progress, error)
	// Answers yields every generation of a run in dataset order, with its result if there is one,
	// in constant memory. An error, such as pipeline.ErrNoRun, is the last thing it yields. Of a
	// run that is loading it yields what is loaded.
	Answers(ctx context.Context, run string) iter.Seq2[pipeline.Answer, error]
	// SampleAnswers returns up to count stored answers: the first ones of the run, or random
	// ones, in order.
	SampleAnswers(ctx context.Context, run string, count int, random bool) ([]pipeline.Answer, error)
	// ItemAnswers returns all generations of one item, each with its result if there is one; none if
	// there is no such item. A run that does not exist is pipeline.ErrNoRun.
	ItemAnswers(ctx context.Context, run string, item int) ([]pipeline.Answer, error)
	// Measure reads what all stored answers of a run come to; nothing of a run that does not exist.
	// It reads all of them, as Digests does.
	Measure(ctx context.Context, run string) (pipeline.Measures, error)
	// Digests counts the stored answers of a run by the model's digest, most answers first. It
	// reads all of them, which takes seconds for a million.
	Digests(ctx context.Context, run string) ([]pipeline.DigestCount, error)
}

// A PresenceStore keeps what consumers reported about themselves after they are gone.
type PresenceStore interface {
	// PutConsumers stores what consumers reported about themselves, by id. A later report of the
	// same consumer replaces the earlier one.
	PutConsumers(ctx context.Context, consumers []pipeline.Presence) error
	// Consumers returns the consumers of a run (of all runs if it is empty) that were seen at
	// that time or later, ordered by id.
	Consumers(ctx context.Context, run string, since time.Time) ([]pipeline.Presence, error)
}

// An IdentityStore knows who it is, so that the streams can say whose they are.
type IdentityStore interface {
	// Identity returns the store's id, which is empty before the first write, and its printable
	// name, which never holds credentials.
	Identity(ctx context.Context) (pipeline.StoreIdentity, error)
	// MakeIdentity gives the store a random id unless it has one, and returns the one that it has
	// then. Of several processes one wins. CreateRun does the same: it is the first write of all.
	MakeIdentity(ctx context.Context) (pipeline.StoreIdentity, error)
}

// A Connection is the connection to the server or file behind a store. Whichever code opened the
// store closes it.
type Connection interface {
	// Ping returns nil if the store can be used now.
	Ping(ctx context.Context) error
	// MayWrite returns why this user may not write, and nil if it may. It writes nothing.
	MayWrite(ctx context.Context) error
	// About says what the store is, and how much room it takes.
	About(ctx context.Context) (pipeline.StoreAbout, error)
	// Close releases the connection. The store must not be used afterwards.
	Close() error
}

// LoadChunk is how many items or batches one call of PutItems or PutBatches may have.
const LoadChunk = 1000
