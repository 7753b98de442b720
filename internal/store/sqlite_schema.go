package store

import "gleaner/internal/pipeline"

// The ids of rows are numbers that sort like the ids of the nouns: the run's number, then the item,
// sample or batch. So a table is one tree in dataset order, and a new result is usually appended at
// its end. Times are milliseconds since 1970, or 0 for none. The columns done and failed are bit
// sets with one bit for each generation of the batch; stored is the number of bits set in done.
const schema = `
PRAGMA application_id = 0x476c6e72;
PRAGMA user_version = 6;
CREATE TABLE runs (
	id          INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again
	name        TEXT NOT NULL UNIQUE,
	uid         TEXT NOT NULL,
	spec        TEXT NOT NULL, -- JSON
	state       TEXT NOT NULL,
	items       INTEGER NOT NULL,
	generations INTEGER NOT NULL,
	batches     INTEGER NOT NULL,
	created_at  INTEGER NOT NULL,
	longest_prompt INTEGER NOT NULL DEFAULT 0,
	pins        TEXT NOT NULL DEFAULT '', -- JSON
	key         BLOB NOT NULL DEFAULT x'', -- the secret of the run's tokens
	pause       TEXT NOT NULL DEFAULT '' -- JSON of the last pause
);
CREATE TABLE items (
	id    INTEGER PRIMARY KEY, -- run << 40 | item << 10
	input BLOB NOT NULL
);
CREATE TABLE batches (
	id            INTEGER PRIMARY KEY, -- run << 40 | index
	run           INTEGER NOT NULL,
	first         INTEGER NOT NULL,
	generations   INTEGER NOT NULL,
	state         TEXT NOT NULL,
	round         INTEGER NOT NULL,
	done          BLOB NOT NULL,
	stored        INTEGER NOT NULL,
	failed        BLOB NOT NULL,
	prompt_tokens INTEGER NOT NULL,
	output_tokens INTEGER NOT NULL,
	queued_at     INTEGER NOT NULL,
	done_at       INTEGER NOT NULL,
	error         TEXT NOT NULL,
	opinions      INTEGER NOT NULL DEFAULT 0,
	refused       INTEGER NOT NULL DEFAULT 0,
	thinking_tokens INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX batches_by_state ON batches (run, state);
CREATE TABLE results (
	id            INTEGER PRIMARY KEY, -- run << 40 | item << 10 | sample
	batch         INTEGER NOT NULL,    -- index in the run
	position      INTEGER NOT NULL,    -- index in the batch
	round         INTEGER NOT NULL,
	text          TEXT NOT NULL,
	finish        TEXT NOT NULL,
	seed          INTEGER NOT NULL,
	prompt_tokens INTEGER NOT NULL,
	output_tokens INTEGER NOT NULL,
	duration_ms   INTEGER NOT NULL,
	consumer      TEXT NOT NULL,
	gpu           TEXT NOT NULL,
	created_at    INTEGER NOT NULL,
	engine        TEXT NOT NULL DEFAULT '',
	digest        TEXT NOT NULL DEFAULT '',
	reasoning     BLOB NOT NULL DEFAULT '', -- a text, or bytes as a packer makes them
	thinking_tokens INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE consumers (
	id   TEXT PRIMARY KEY,
	run  TEXT NOT NULL,
	seen INTEGER NOT NULL,
	body TEXT NOT NULL -- JSON
) WITHOUT ROWID;
` + storeTable

// storeTable holds at most one row: who the store is.
const storeTable = `
CREATE TABLE store (
	key        INTEGER PRIMARY KEY CHECK (key = 1),
	id         TEXT NOT NULL,
	created_at INTEGER NOT NULL
);
`

// These bring the tables of one version to the next. Columns are added at the end of a table, as
// schema has them.
const (
	upgrade1 = `
PRAGMA user_version = 2;
ALTER TABLE runs ADD COLUMN longest_prompt INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN pins TEXT NOT NULL DEFAULT '';
ALTER TABLE batches ADD COLUMN opinions INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batches ADD COLUMN refused INTEGER NOT NULL DEFAULT 0;
ALTER TABLE results ADD COLUMN engine TEXT NOT NULL DEFAULT '';
ALTER TABLE results ADD COLUMN digest TEXT NOT NULL DEFAULT '';
`
	upgrade2 = `
PRAGMA user_version = 3;
ALTER TABLE runs ADD COLUMN key BLOB NOT NULL DEFAULT x'';
` + storeTable
	upgrade3 = `
PRAGMA user_version = 4;
ALTER TABLE results ADD COLUMN reasoning BLOB NOT NULL DEFAULT '';
`
	upgrade4 = `
PRAGMA user_version = 5;
ALTER TABLE runs ADD COLUMN pause TEXT NOT NULL DEFAULT '';
`
	upgrade5 = `
PRAGMA user_version = 6;
ALTER TABLE batches ADD COLUMN thinking_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE results ADD COLUMN thinking_tokens INTEGER NOT NULL DEFAULT 0;
`
)

// runShift leaves 30 bits for an item, 10 for a sample, and 23 for all runs that were ever created
// in the file.
const (
	runShift    = 40
	sampleShift = 10
)

func itemKey(run int64, item int) int64 { return run<<runShift | int64(item)<<sampleShift }

func resultKey(run int64, g generation) int64 { return itemKey(run, g.item) | int64(g.sample) }

func batchKey(run int64, index int) int64 { return run<<runShift | int64(index) }

// keyEnd is greater than all keys of a run.
func keyEnd(run int64) int64 { return (run + 1) << runShift }

func keyGeneration(key int64) generation {
	return generation{int(key >> sampleShift & (1<<(runShift-sampleShift) - 1)), int(key & (1<<sampleShift - 1))}
}

func keyBatch(key int64) int { return int(key & (1<<runShift - 1)) }

// A bits is a set of indexes in a batch, one bit each, without trailing zero bytes.
type bits []byte

func newBits(indexes []int) bits {
	b := bits{}
	for _, i := range indexes {
		b = b.with(i)
	}
	return b
}

func (b bits) has(i int) bool { return i/8 < len(b) && b[i/8]&(1<<(i%8)) != 0 }

func (b bits) with(i int) bits {
	for len(b) <= i/8 {
		b = append(b, 0)
	}
	b[i/8] |= 1 << (i % 8)
	return b
}

// indexes returns the indexes in ascending order, nil if there are none.
func (b bits) indexes() []int {
	var indexes []int
	for i := range len(b) * 8 {
		if b.has(i) {
			indexes = append(indexes, i)
		}
	}
	return indexes
}

// A batchRow is a batch with the token counts that only the store needs.
type batchRow struct {
	key int64
	pipeline.Batch
	promptTokens, outputTokens, thinkingTokens int
}
