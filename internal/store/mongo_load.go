package store

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gleaner/internal/pipeline"
)

func (m *mongoStore) PutItems(ctx context.Context, items []pipeline.Item) error {
	if len(items) == 0 {
		return nil
	}
	docs := make([]itemDoc, len(items))
	for i, item := range items {
		docs[i] = itemDoc{ID: item.ID(), Input: string(item.Input)}
	}
	what := fmt.Sprintf("store %d items of run %s from %d", len(items), items[0].Run, items[0].Seq)
	return m.load(ctx, m.items, items[0].Run, docs, what)
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
	return m.load(ctx, m.batches, batches[0].Run, docs, what)
}

// load inserts documents that are not there yet. It looks at the run first: a loader that went on
// after its run was deleted would leave documents behind, and the next run of that name would take
// them for its own.
func (m *mongoStore) load(ctx context.Context, collection *mongo.Collection, name string, docs any, what string) error {
	run, err := m.Run(ctx, name)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if run.State == pipeline.RunDeleting {
		return beingDeleted(what)
	}
	_, err = collection.InsertMany(ctx, docs, options.InsertMany().SetOrdered(false))
	_, err = duplicates(err)
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
func (m *mongoStore) lastID(ctx context.Context, collection *mongo.Collection, run string) (string, error) {
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

// page reads one reply of the server: at most count documents in order, and at most 16 MiB.
func page[D, T any](ctx context.Context, collection *mongo.Collection, filter bson.D, count int, convert func(D) (T, error)) ([]T, error) {
	// A negative limit asks for a single reply, with no cursor left open on the server.
	cursor, err := collection.Find(ctx, filter, options.Find().SetSort(op("_id", 1)).SetLimit(-int64(count)))
	if err != nil {
		return nil, err
	}
	rows := make([]T, 0, cursor.RemainingBatchLength())
	for cursor.Next(ctx) {
		var doc D
		if err := bson.Unmarshal(cursor.Current, &doc); err != nil { // the cursor's own Decode takes 8 KB of buffers for each
			return nil, errors.Join(err, cursor.Close(ctx))
		}
		row, err := convert(doc)
		if err != nil {
			return nil, errors.Join(err, cursor.Close(ctx))
		}
		rows = append(rows, row)
	}
	return rows, errors.Join(cursor.Err(), cursor.Close(ctx))
}
