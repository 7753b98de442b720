package store

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gleaner/internal/pipeline"
)

// A lengthDoc counts the answers with a number of tokens.
type lengthDoc struct {
	Tokens  int `bson:"_id"`
	Answers int `bson:"answers"`
	Thought int `bson:"thought"`
}

// A spanDoc is when the answers of a span of time were generated.
type spanDoc struct {
	Begin time.Time `bson:"begin"`
	End   time.Time `bson:"end"`
}

func (m *mongoStore) Measure(ctx context.Context, run string) (pipeline.Measures, error) {
	what := "measure the answers of run " + run
	low, high := pipeline.IDRange(run)
	lengths, err := aggregateRun[lengthDoc](ctx, m.results, bson.A{
		op("$match", between(low, high)),
		op("$group", bson.D{
			{Key: "_id", Value: "$output_tokens"},
			{Key: "answers", Value: op("$sum", 1)},
			{Key: "thought", Value: op("$sum", when(op("$gt", bson.A{"$reasoning", nil}), 1, 0))},
		}),
	})
	if err != nil {
		return pipeline.Measures{}, m.fail(ctx, err, what)
	}
	spans, err := aggregateRun[spanDoc](ctx, m.results, bson.A{
		op("$match", between(low, high)),
		op("$group", bson.D{
			{Key: "_id", Value: op("$subtract", bson.A{"$created_at", op("$mod", bson.A{op("$toLong", "$created_at"), measureEvery})})},
			{Key: "begin", Value: op("$min", op("$subtract", bson.A{"$created_at", "$duration_ms"}))},
			{Key: "end", Value: op("$max", "$created_at")},
		}),
	})
	if err != nil {
		return pipeline.Measures{}, m.fail(ctx, err, what)
	}
	counts, times := make([]pipeline.LengthCount, len(lengths)), make([]pipeline.Span, len(spans))
	for i, l := range lengths {
		counts[i] = pipeline.LengthCount(l)
	}
	for i, s := range spans {
		times[i] = pipeline.Span(s)
	}
	return pipeline.Measure(counts, times), nil
}
