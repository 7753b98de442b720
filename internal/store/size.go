package store

import (
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gleaner/internal/pipeline"
)

// A Meter tells what a run takes in MongoDB, without a server: its documents as they would be
// written with their index entries, and how often the server is asked. What a server makes of it
// on its disk is its own affair; a free cluster counts documents and indexes.
type Meter struct{}

// indexEntry is what an index takes for each document besides the key, about: B-trees are not
// full, but share what keys begin with.
const indexEntry = 16

// Item returns the bytes of an item with its index entry.
func (Meter) Item(i pipeline.Item) (int, error) {
	return size(itemDoc{ID: i.ID(), Input: string(i.Input)}, len(i.ID()))
}

// Batch returns the bytes of a batch with its index entries, of which there are two.
func (Meter) Batch(b pipeline.Batch) (int, error) {
	n, err := size(newBatchDoc(b), len(b.ID()))
	return n + len(b.Run) + len(b.State) + len(b.ID()) + indexEntry, err
}

// Result returns the bytes of one of the results of a message, with its index entry.
func (Meter) Result(m pipeline.Results, r pipeline.Result) (int, error) {
	doc := newResultDoc(m, r)
	return size(doc, len(doc.ID))
}

func size(doc any, key int) (int, error) {
	data, err := bson.Marshal(doc)
	if err != nil {
		return 0, fmt.Errorf("the size of a document: %w", err)
	}
	return len(data) + key + indexEntry, nil
}

// Load is what it takes to load so many items and batches.
func (Meter) Load(items, batches int) pipeline.Operations {
	chunks := chunksOf(items, LoadChunk) + chunksOf(batches, LoadChunk)
	const other = 6 // the index, the run, what is there already, the seal
	return pipeline.Operations{Commands: float64(2*chunks + other), Statements: float64(items + batches + chunks + other)}
}

// Write is what it takes to write so many results of so many batches in one call.
func (Meter) Write(results, batches float64) pipeline.Operations {
	return pipeline.Operations{Commands: 2, Statements: results + batches}
}

// Export is what it takes to read a run to its end.
func (Meter) Export(items, results int) pipeline.Operations {
	pages := float64(chunksOf(items, pageRows) + chunksOf(results, pageRows) + 3)
	return pipeline.Operations{Commands: pages, Statements: pages}
}

func chunksOf(n, size int) int { return (n + size - 1) / size }
