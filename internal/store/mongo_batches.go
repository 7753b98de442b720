package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gleaner/internal/pipeline"
)

// idChunk is how many ids one filter names: about 100 KB.
const idChunk = 2000

func (m *mongoStore) Batches(ctx context.Context, run string, state pipeline.BatchState, from, count int) ([]pipeline.Batch, error) {
	var batches []pipeline.Batch
	for len(batches) < count {
		filter := bson.D{{Key: "run", Value: run}, {Key: "state", Value: state}, {Key: "_id", Value: op("$gte", pipeline.BatchID(run, from))}}
		next, err := page(ctx, m.batches, filter, count-len(batches), batchDoc.batch)
		if err != nil {
			return nil, m.fail(ctx, err, fmt.Sprintf("read the %s batches of run %s", state, run))
		}
		if len(next) == 0 {
			break
		}
		batches = append(batches, next...)
		from = next[len(next)-1].Index + 1
	}
	return batches, nil
}

func (m *mongoStore) BatchesAt(ctx context.Context, run string, indexes []int) ([]pipeline.Batch, error) {
	var batches []pipeline.Batch
	for chunk := range slices.Chunk(indexes, idChunk) {
		var docs []batchDoc
		if err := m.batches.findAll(ctx, op("_id", op("$in", batchIDs(run, chunk))), &docs); err != nil {
			return nil, m.fail(ctx, err, fmt.Sprintf("read %d batches of run %s", len(chunk), run))
		}
		for _, doc := range docs {
			batch, err := doc.batch()
			if err != nil {
				return nil, m.fail(ctx, err, "read a batch of run "+run)
			}
			batches = append(batches, batch)
		}
	}
	return batches, nil
}

func batchIDs(run string, indexes []int) []string {
	ids := make([]string, len(indexes))
	for i, index := range indexes {
		ids[i] = pipeline.BatchID(run, index)
	}
	return ids
}

func (m *mongoStore) MarkQueued(ctx context.Context, run string, indexes []int, at time.Time) error {
	for chunk := range slices.Chunk(indexes, idChunk) {
		_, err := m.batches.UpdateMany(ctx,
			bson.D{{Key: "_id", Value: op("$in", batchIDs(run, chunk))}, {Key: "state", Value: pipeline.Planned}},
			bson.A{
				op("$set", bson.D{{Key: "state", Value: pipeline.Queued}, {Key: "queued_at", Value: at}}),
				op("$set", op("state", settled())),
			})
		if err != nil {
			return m.fail(ctx, err, fmt.Sprintf("mark %d batches of run %s as queued", len(chunk), run))
		}
	}
	return nil
}

func (m *mongoStore) Requeue(ctx context.Context, seen pipeline.Batch, opinions int, at time.Time) (bool, error) {
	return m.swap(ctx, seen, "queue it again", bson.D{
		{Key: "state", Value: pipeline.Queued}, {Key: "round", Value: seen.Round + 1}, {Key: "failed", Value: bson.A{}},
		{Key: "opinions", Value: opinions}, {Key: "queued_at", Value: at},
	})
}

func (m *mongoStore) Drop(ctx context.Context, seen pipeline.Batch) (bool, error) {
	if seen.State != pipeline.Dead && seen.State != pipeline.Queued {
		return false, nil
	}
	return m.swap(ctx, seen, "drop it", op("state", pipeline.Dropped))
}

func (m *mongoStore) Refuse(ctx context.Context, run string, index, round int) (bool, error) {
	id := pipeline.BatchID(run, index)
	states := op("$in", bson.A{pipeline.Planned, pipeline.Queued})
	result, err := m.batches.UpdateOne(ctx, bson.D{{Key: "_id", Value: id}, {Key: "state", Value: states}, {Key: "round", Value: round}}, op("$set", op("refused", round)))
	if err != nil {
		return false, m.fail(ctx, err, "batch "+id+": mark that its results were refused")
	}
	return result.MatchedCount == 1, nil
}

// swap sets fields of a batch that is still in the state and round in which it was seen, and
// reports whether it was.
func (m *mongoStore) swap(ctx context.Context, seen pipeline.Batch, what string, set bson.D) (bool, error) {
	if seen.State == pipeline.Done { // a batch that is done never changes its state
		return false, nil
	}
	result, err := m.batches.UpdateOne(ctx,
		bson.D{{Key: "_id", Value: seen.ID()}, {Key: "state", Value: seen.State}, {Key: "round", Value: seen.Round}}, op("$set", set))
	if err != nil {
		return false, m.fail(ctx, err, "batch "+seen.ID()+": "+what)
	}
	return result.MatchedCount == 1, nil
}

func (m *mongoStore) Fail(ctx context.Context, run string, index, round int, failed []int, message string) (bool, error) {
	id := pipeline.BatchID(run, index)
	update := bson.A{
		op("$set", bson.D{
			{Key: "failed", Value: op("$setUnion", bson.A{"$failed", append([]int{}, failed...)})},
			{Key: "error", Value: op("$literal", message)},
		}),
		op("$set", op("state", settled())),
	}
	var after struct {
		State pipeline.BatchState `bson:"state"`
	}
	err := m.batches.FindOneAndUpdate(ctx,
		bson.D{{Key: "_id", Value: id}, {Key: "round", Value: round}, {Key: "state", Value: op("$ne", pipeline.Done)}}, update,
		options.FindOneAndUpdate().SetReturnDocument(options.After).SetProjection(op("state", 1))).Decode(&after)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return false, nil
	}
	return after.State == pipeline.Dead, m.fail(ctx, err, "batch "+id+": record a failure")
}

// settled is pipeline.Batch.Settle as an expression for the server, so that the state changes in
// the same command as the fields that it follows from.
func settled() bson.D {
	dead := op("$and", bson.A{
		op("$eq", bson.A{"$state", pipeline.Queued}),
		op("$eq", bson.A{op("$size", op("$setUnion", bson.A{"$done", "$failed"})), "$generations"}),
	})
	return when(complete(), pipeline.Done, when(dead, pipeline.Dead, "$state"))
}

// complete is an expression that is true if all generations of a batch are stored.
func complete() bson.D { return op("$eq", bson.A{op("$size", "$done"), "$generations"}) }

func when(condition, then, otherwise any) bson.D {
	return op("$cond", bson.A{condition, then, otherwise})
}
