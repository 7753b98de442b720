package store

import (
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gleaner/internal/pipeline"
)

// A DocumentMeter computes what a run costs in MongoDB, without a server: the bytes of its
// documents and their index entries, and the number of commands. How many bytes of disk a server
// uses for them is not predicted; a free cluster counts documents and indexes.
type DocumentMeter struct{}

// indexEntry is about how many bytes an index takes for each document besides the key. B-trees are
// not full, but keys share their prefixes.
const indexEntry = 16

// Item returns the bytes of an item with its index entry.
func (DocumentMeter) Item(i pipeline.Item) (int, error) {
	return size(itemDoc{ID: i.ID(), Input: string(i.Input)}, len(i.ID()))
}

// Batch returns the bytes of a batch with its index entries, of which there are two.
func (DocumentMeter) Batch(b pipeline.Batch) (int, error) {
	n, err := size(newBatchDoc(b), len(b.ID()))
	return n + len(b.Run) + len(b.State) + len(b.ID()) + indexEntry, err
}

// Result returns the bytes of one of the results of a message, with its index entry.
func (DocumentMeter) Result(m pipeline.Results, r pipeline.Result) (int, error) {
	doc := newResultDoc(m, r, r.Reasoning)
	return size(doc, len(doc.ID))
}

func size(doc any, key int) (int, error) {
	data, err := bson.Marshal(doc)
	if err != nil {
		return 0, fmt.Errorf("the size of a document: %w", err)
	}
	return len(data) + key + indexEntry, nil
}

// Load returns the cost of loading this many items and batches.
func (DocumentMeter) Load(items, batches int) pipeline.Operations {
	chunks := chunksOf(items, LoadChunk) + chunksOf(batches, LoadChunk)
	const other = 6 // creating the index and the run, asking how much is loaded, sealing
	return pipeline.Operations{Commands: float64(2*chunks + other), Statements: float64(items + batches + chunks + other)}
}

// Write returns the cost of writing this many results of this many batches in one call.
func (DocumentMeter) Write(results, batches float64) pipeline.Operations {
	return pipeline.Operations{Commands: 2, Statements: results + batches}
}

// Export returns the cost of reading a whole run.
func (DocumentMeter) Export(items, results int) pipeline.Operations {
	pages := float64(chunksOf(items, pageRows) + chunksOf(results, pageRows) + 3)
	return pipeline.Operations{Commands: pages, Statements: pages}
}

func chunksOf(n, size int) int { return (n + size - 1) / size }
