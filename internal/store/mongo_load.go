package store

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gleaner/internal/pipeline"
)

// documentBytes is about what a document has besides its texts.
const documentBytes = 300

func (m *mongoStore) PutItems(ctx context.Context, items []pipeline.Item) error {
	if len(items) == 0 {
		return nil
	}
	docs, bytes := make([]itemDoc, len(items)), 0
	for i, item := range items {
		docs[i] = itemDoc{ID: item.ID(), Input: string(item.Input)}
		bytes += documentBytes + len(item.Input)
	}
	what := fmt.Sprintf("store %d items of run %s from %d", len(items), items[0].Run, items[0].Seq)
	return m.load(ctx, items[0].Run, what, func() error { return m.items.insertMany(ctx, docs, bytes) })
}

func (m *mongoStore) PutBatches(ctx context.Context, batches []pipeline.Batch) error {
	if len(batches) == 0 {
		return nil
	}
	docs := make([]batchDoc, len(batches))
	for i, batch := range batches {
		docs[i] = newBatchDoc(batch)
	}
	what := fmt.Sprintf("store %d batches of run %s from %d", len(batches), batches[0].Run, batches[0].Index)
	return m.load(ctx, batches[0].Run, what, func() error { return m.batches.insertMany(ctx, docs, documentBytes*len(docs)) })
}

// load inserts documents that are not there yet. It looks at the run first: a loader that went on
// after its run was deleted would leave documents behind, and the next run of that name would take
// them for its own.
func (m *mongoStore) load(ctx context.Context, name, what string, insert func() error) error {
	run, err := m.Run(ctx, name)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if run.State == pipeline.RunDeleting {
		return beingDeleted(what)
	}
	_, err = duplicates(insert())
	return m.fail(ctx, err, what)
}

// Loaded leaves out the last LoadChunk documents. The server writes a chunk in any order, so an
// interrupted chunk may have gaps anywhere. All chunks before that of the last document are
// complete.
func (m *mongoStore) Loaded(ctx context.Context, run string) (int, int, error) {
	items, err := m.lastID(ctx, m.items, run)
	if err != nil {
		return 0, 0, m.fail(ctx, err, "find the last item of run "+run)
	}
	batches, err := m.lastID(ctx, m.batches, run)
	if err != nil {
		return 0, 0, m.fail(ctx, err, "find the last batch of run "+run)
	}
	certainItems, certainBatches := 0, 0
	if _, seq, err := pipeline.ParseItemID(items); err == nil {
		certainItems = max(0, seq+1-LoadChunk)
	}
	if _, index, err := pipeline.ParseBatchID(batches); err == nil {
		certainBatches = max(0, index+1-LoadChunk)
	}
	return certainItems, certainBatches, nil
}

// lastID returns the last id of a run in a collection, or "" if there is none.
func (m *mongoStore) lastID(ctx context.Context, collection mongoCollection, run string) (string, error) {
	var doc struct {
		ID string `bson:"_id"`
	}
	err := collection.FindOne(ctx, inRun(run), options.FindOne().SetSort(op("_id", -1)).SetProjection(op("_id", 1))).Decode(&doc)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return "", nil
	}
	return doc.ID, err
}

func (m *mongoStore) Items(ctx context.Context, run string, first, count int) ([]pipeline.Item, error) {
	return allItems(ctx, m, run, first, count)
}

func (m *mongoStore) itemPage(ctx context.Context, run string, first, count int) ([]pipeline.Item, error) {
	_, high := pipeline.IDRange(run)
	items, err := page(ctx, m.items, between(pipeline.ItemID(run, first), high), count, itemDoc.item)
	return items, m.fail(ctx, err, fmt.Sprintf("read items of run %s from %d", run, first))
}
