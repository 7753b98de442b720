package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gleaner/internal/pipeline"
)

// WriteResults sends two commands: one inserts the results, where the server refuses each one that
// exists already, and one updates the batches. A crash between the two leaves results that are
// missing in their batches. The messages are not acked in that case, and writing them again adds
// the results to their batches. That is why the batches of duplicates are updated too.
func (m *mongoStore) WriteResults(ctx context.Context, messages []pipeline.Results, at time.Time) (pipeline.Written, error) {
	results, again := m.flatten(messages)
	if len(results) == 0 {
		return pipeline.Written{}, nil
	}
	what := fmt.Sprintf("store %d results of run %s", len(results), messages[0].Run)
	docs, bytes := make([]resultDoc, len(results)), 0
	for i, r := range results {
		docs[i] = r.doc
		bytes += documentBytes + len(r.doc.Text) + packedSize(r.doc.Reasoning)
	}
	stored, err := duplicates(m.results.insertMany(ctx, docs, bytes))
	if err != nil {
		return pipeline.Written{}, m.fail(ctx, err, what)
	}
	if err := m.readTokens(ctx, results, stored); err != nil {
		return pipeline.Written{}, m.fail(ctx, err, what+": read those that are there already")
	}
	written := pipeline.Written{New: len(results) - len(stored), Duplicate: len(stored) + again}
	updates := batchUpdates(results, at)
	updated, err := m.batches.bulkWrite(ctx, updates, documentBytes*len(results))
	if err != nil {
		return pipeline.Written{}, m.fail(ctx, err, what+": update their batches")
	}
	if int(updated.MatchedCount) < len(updates) {
		strays, err := m.dropStrays(ctx, results)
		if err != nil {
			return pipeline.Written{}, m.fail(ctx, err, what+": take back those of a run that was deleted")
		}
		for i, r := range results {
			switch {
			case strays[r.batch] && stored[i]:
				written.Duplicate--
			case strays[r.batch]:
				written.New--
			}
		}
	}
	return written, nil
}

// A batchResult is a result and the id of its batch.
type batchResult struct {
	batch string
	doc   resultDoc
}

// flatten returns the results of all messages ordered by batch and id, each generation once, and
// how many it left out. The order is the same for every sink, so that two sinks that write the same
// results cannot deadlock.
func (m *mongoStore) flatten(messages []pipeline.Results) ([]batchResult, int) {
	var results []batchResult
	for _, message := range messages {
		batch := message.ID()
		for _, r := range message.Results {
			results = append(results, batchResult{batch, newResultDoc(message, r, m.packer.pack(r.Reasoning))})
		}
	}
	slices.SortStableFunc(results, func(a, b batchResult) int {
		return cmp.Or(cmp.Compare(a.batch, b.batch), cmp.Compare(a.doc.ID, b.doc.ID))
	})
	all := len(results)
	results = slices.CompactFunc(results, func(a, b batchResult) bool { return a.doc.ID == b.doc.ID })
	return results, all - len(results)
}

// readTokens replaces the token counts of results that are stored already by those of the stored
// results, because the first answer is the one that counts.
func (m *mongoStore) readTokens(ctx context.Context, results []batchResult, stored map[int]bool) error {
	if len(stored) == 0 {
		return nil
	}
	ids := make([]string, 0, len(stored))
	for i := range stored {
		ids = append(ids, results[i].doc.ID)
	}
	var docs []resultDoc
	tokens := options.Find().SetProjection(bson.D{{Key: "prompt_tokens", Value: 1}, {Key: "output_tokens", Value: 1}, {Key: "thinking_tokens", Value: 1}})
	if err := m.results.findAll(ctx, op("_id", op("$in", ids)), &docs, tokens); err != nil {
		return err
	}
	first := make(map[string]resultDoc, len(docs))
	for _, doc := range docs {
		first[doc.ID] = doc
	}
	for i := range stored {
		doc := &results[i].doc
		if f, ok := first[doc.ID]; ok {
			doc.PromptTokens, doc.OutputTokens, doc.ThinkingTokens = f.PromptTokens, f.OutputTokens, f.ThinkingTokens
		}
	}
	return nil
}

// batchUpdates returns one update for each batch of the results, which are ordered by batch.
func batchUpdates(results []batchResult, at time.Time) []mongo.WriteModel {
	var models []mongo.WriteModel
	for len(results) > 0 {
		batch := results[0].batch
		end := slices.IndexFunc(results, func(r batchResult) bool { return r.batch != batch })
		if end < 0 {
			end = len(results)
		}
		models = append(models, mongo.NewUpdateOneModel().SetFilter(byID(batch)).SetUpdate(addResults(results[:end], at)))
		results = results[end:]
	}
	return models
}

// addResults adds results to their batch. The first stage still sees done as it was, and counts
// the tokens only of results that are not in it; the second derives the state. A batch without
// thinking, and one of an earlier version, has no field for it.
func addResults(results []batchResult, at time.Time) bson.A {
	indexes := make(bson.A, len(results))
	prompt, output := bson.A{"$prompt_tokens"}, bson.A{"$output_tokens"}
	var thinking bson.A
	for i, r := range results {
		indexes[i] = r.doc.Index
		known := op("$in", bson.A{r.doc.Index, "$done"})
		prompt = append(prompt, when(known, 0, r.doc.PromptTokens))
		output = append(output, when(known, 0, r.doc.OutputTokens))
		if n := r.doc.ThinkingTokens; n > 0 {
			thinking = append(thinking, when(known, 0, n))
		}
	}
	first := bson.D{
		{Key: "prompt_tokens", Value: op("$add", prompt)},
		{Key: "output_tokens", Value: op("$add", output)},
		{Key: "done", Value: op("$setUnion", bson.A{"$done", indexes})},
	}
	if len(thinking) > 0 {
		before := op("$ifNull", bson.A{"$thinking_tokens", 0})
		first = append(first, bson.E{Key: "thinking_tokens", Value: op("$add", append(thinking, before))})
	}
	now := op("$and", bson.A{complete(), op("$ne", bson.A{"$state", pipeline.Done})})
	return bson.A{
		op("$set", first),
		op("$set", bson.D{
			{Key: "done_at", Value: when(now, at, "$done_at")},
			{Key: "state", Value: settled()},
		}),
	}
}

// dropStrays deletes results whose batch does not exist: their run was deleted while they were in
// transit, and the next run of that name would take them for its own. It returns the ids of those
// batches.
func (m *mongoStore) dropStrays(ctx context.Context, results []batchResult) (map[string]bool, error) {
	gone := map[string]bool{}
	for _, r := range results {
		gone[r.batch] = true
	}
	ids := make([]string, 0, len(gone))
	for id := range gone {
		ids = append(ids, id)
	}
	var there []struct {
		ID string `bson:"_id"`
	}
	if err := m.batches.findAll(ctx, op("_id", op("$in", ids)), &there, options.Find().SetProjection(op("_id", 1))); err != nil {
		return nil, err
	}
	for _, doc := range there {
		delete(gone, doc.ID)
	}
	strays := make([]string, 0, len(results))
	for _, r := range results {
		if gone[r.batch] {
			strays = append(strays, r.doc.ID)
		}
	}
	_, err := m.results.DeleteMany(ctx, op("_id", op("$in", strays)))
	return gone, err
}
