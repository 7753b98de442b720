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

// A stateCount sums up a run's batches in one state.
type stateCount struct {
	State             pipeline.BatchState `bson:"_id"`
	Batches           int                 `bson:"batches"`
	Generations       int                 `bson:"generations"`
	Stored            int                 `bson:"stored"`
	PromptTokens      int                 `bson:"prompt_tokens"`
	OutputTokens      int                 `bson:"output_tokens"`
	ThinkingTokens    int                 `bson:"thinking_tokens"`
	FirstDone         time.Time           `bson:"first_done"` // zero if no batch has a done_at
	LastDone          time.Time           `bson:"last_done"`
	RecentGenerations int                 `bson:"recent_generations"`
	RecentTokens      int                 `bson:"recent_tokens"`
	Refused           int                 `bson:"refused"`
}

// sum adds up a run's states.
func sum(counts []stateCount) pipeline.Progress {
	p := pipeline.Progress{Batches: map[pipeline.BatchState]int{}}
	for _, c := range counts {
		p.Batches[c.State] = c.Batches
		p.Generations += c.Generations
		p.Stored += c.Stored
		p.PromptTokens += c.PromptTokens
		p.OutputTokens += c.OutputTokens
		p.ThinkingTokens += c.ThinkingTokens
		p.RecentGenerations += c.RecentGenerations
		p.RecentTokens += c.RecentTokens
		p.Refused += c.Refused
		switch c.State {
		case pipeline.Dead: // what is not stored has failed, or it would not be dead
			p.Failed += c.Generations - c.Stored
		case pipeline.Dropped:
			p.Dropped += c.Generations - c.Stored
		}
		if !c.FirstDone.IsZero() && (p.FirstDone.IsZero() || c.FirstDone.Before(p.FirstDone)) {
			p.FirstDone = c.FirstDone
		}
		if c.LastDone.After(p.LastDone) {
			p.LastDone = c.LastDone
		}
	}
	return p
}

// Progress is one aggregation over the batches: the results, a hundred times as big, are not
// touched.
func (m *mongoStore) Progress(ctx context.Context, run string, since time.Time) (pipeline.Progress, error) {
	recent := func(field string) bson.D {
		return op("$sum", when(op("$gte", bson.A{"$done_at", since}), field, 0))
	}
	counts, err := aggregateRun[stateCount](ctx, m.batches, bson.A{
		op("$match", op("run", run)),
		op("$group", bson.D{
			{Key: "_id", Value: "$state"},
			{Key: "batches", Value: op("$sum", 1)},
			{Key: "generations", Value: op("$sum", "$generations")},
			{Key: "stored", Value: op("$sum", op("$size", "$done"))},
			{Key: "prompt_tokens", Value: op("$sum", "$prompt_tokens")},
			{Key: "output_tokens", Value: op("$sum", "$output_tokens")},
			{Key: "thinking_tokens", Value: op("$sum", "$thinking_tokens")},
			{Key: "first_done", Value: op("$min", "$done_at")},
			{Key: "last_done", Value: op("$max", "$done_at")},
			{Key: "recent_generations", Value: recent("$generations")},
			{Key: "recent_tokens", Value: recent("$output_tokens")},
			{Key: "refused", Value: op("$sum", when(op("$gt", bson.A{"$refused", 0}), 1, 0))},
		}),
	})
	return sum(counts), m.fail(ctx, err, "count the batches of run "+run)
}

// A digestDoc counts the answers of one digest.
type digestDoc struct {
	ID struct {
		Engine, Digest string
	} `bson:"_id"`
	Answers int `bson:"answers"`
}

func (m *mongoStore) Digests(ctx context.Context, run string) ([]pipeline.DigestCount, error) {
	what := "count the digests of run " + run
	low, high := pipeline.IDRange(run)
	docs, err := aggregateRun[digestDoc](ctx, m.results, bson.A{
		op("$match", between(low, high)),
		op("$group", bson.D{
			{Key: "_id", Value: bson.D{{Key: "engine", Value: "$engine"}, {Key: "digest", Value: "$digest"}}},
			{Key: "answers", Value: op("$sum", 1)},
		}),
	})
	if err != nil {
		return nil, m.fail(ctx, err, what)
	}
	counts := make([]pipeline.DigestCount, len(docs))
	for i, doc := range docs {
		counts[i] = pipeline.DigestCount{Engine: pipeline.EngineName(doc.ID.Engine), Digest: doc.ID.Digest, Answers: doc.Answers}
	}
	return mostFirst(counts), nil
}

// mostFirst sorts counts: most answers first, then by engine and digest.
func mostFirst(counts []pipeline.DigestCount) []pipeline.DigestCount {
	slices.SortFunc(counts, func(a, b pipeline.DigestCount) int {
		return cmp.Or(b.Answers-a.Answers, cmp.Compare(a.Engine, b.Engine), cmp.Compare(a.Digest, b.Digest))
	})
	return counts
}

func (m *mongoStore) resultPage(ctx context.Context, run string, from generation, count int) ([]pipeline.StoredResult, error) {
	_, high := pipeline.IDRange(run)
	results, err := page(ctx, m.results, between(pipeline.GenerationID(run, from.item, from.sample), high), count, func(d resultDoc) (pipeline.StoredResult, error) { return d.result(m.packer) })
	return results, m.fail(ctx, err, fmt.Sprintf("read results of run %s from item %d", run, from.item))
}

func (m *mongoStore) lastResult(ctx context.Context, run string) (generation, error) {
	id, err := m.lastID(ctx, m.results, run)
	if err != nil {
		return generation{}, m.fail(ctx, err, "find the last result of run "+run)
	}
	_, item, sample, err := pipeline.ParseGenerationID(id)
	return generation{item, sample}, m.fail(ctx, err, "find the last result of run "+run)
}

// consumerBytes is about what a consumer with eight GPUs reports.
const consumerBytes = 4 << 10

func (m *mongoStore) PutConsumers(ctx context.Context, consumers []pipeline.Presence) error {
	if len(consumers) == 0 {
		return nil
	}
	models := make([]mongo.WriteModel, len(consumers))
	for i, c := range consumers {
		models[i] = mongo.NewReplaceOneModel().SetFilter(byID(c.ID)).SetReplacement(consumerDoc(c)).SetUpsert(true)
	}
	_, err := m.consumers.bulkWrite(ctx, models, consumerBytes*len(models))
	_, err = duplicates(err) // another process has just stored the same one
	return m.fail(ctx, err, fmt.Sprintf("store %d consumers", len(consumers)))
}

func (m *mongoStore) Consumers(ctx context.Context, run string, since time.Time) ([]pipeline.Presence, error) {
	filter := bson.D{{Key: "seen", Value: op("$gte", since)}}
	if run != "" {
		filter = append(filter, bson.E{Key: "run", Value: run})
	}
	var docs []consumerDoc
	if err := m.consumers.findAll(ctx, filter, &docs, options.Find().SetSort(op("_id", 1))); err != nil {
		return nil, m.fail(ctx, err, "read the consumers of run "+run)
	}
	consumers := make([]pipeline.Presence, len(docs))
	for i, doc := range docs {
		consumers[i] = pipeline.Presence(doc)
	}
	return consumers, nil
}
