package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"gleaner/internal/pipeline"
	"gleaner/internal/store"
)

// loadChunk is how many items are written at once, as the producer does it.
const loadChunk = store.LoadChunk

// planned writes a sealed run whose batches have the default size and are all in this state.
// Calling remove deletes it again.
func planned(ctx context.Context, store store.Store, generations int, state pipeline.BatchState) (run pipeline.Run, remove func() error, err error) {
	id := ulid.Make().String()
	run = pipeline.Run{
		Name: "bench-" + strings.ToLower(id), UID: id, Spec: spec(), State: pipeline.RunLoading, Items: generations, Generations: generations, CreatedAt: time.Now().UTC(),
	}
	if _, _, err := store.CreateRun(ctx, run); err != nil {
		return run, nil, err
	}
	remove = func() error { return store.DeleteRun(context.WithoutCancel(ctx), run.Name, nil) }
	var items []pipeline.Item
	var batches []pipeline.Batch
	for seq := range generations {
		items = append(items, pipeline.Item{Run: run.Name, Seq: seq, Input: row(seq)})
		if seq%pipeline.DefaultBatch == 0 {
			batches = append(batches, plannedBatch(run, seq/pipeline.DefaultBatch, state))
		}
		if len(items) == loadChunk || seq == generations-1 {
			if err := errors.Join(store.PutItems(ctx, items), store.PutBatches(ctx, batches)); err != nil {
				return run, nil, errors.Join(err, remove())
			}
			items, batches = items[:0], batches[:0]
		}
	}
	run.State, run.Batches = pipeline.RunOpen, (generations+pipeline.DefaultBatch-1)/pipeline.DefaultBatch
	if err := store.Seal(ctx, run.Name, run.Batches); err != nil {
		return run, nil, errors.Join(err, remove())
	}
	return run, remove, nil
}

// instant is a model that answers at once, with one of a few texts.
type instant struct{ texts []string }

func newInstant() *instant {
	m := &instant{}
	for i := range 64 {
		m.texts = append(m.texts, prose(rand.New(rand.NewPCG(2, uint64(i))), answerBytes))
	}
	return m
}

func (m *instant) Generate(_ context.Context, request pipeline.Request) (pipeline.Completion, error) {
	return pipeline.Completion{
		Text: m.texts[request.Seed%len(m.texts)], Finish: "stop", PromptTokens: tokensOf(len(request.Prompt())), OutputTokens: tokensOf(answerBytes),
	}, nil
}

// results returns the answers to a batch of a run with one sample.
func (m *instant) results(run pipeline.Run, b pipeline.Batch) pipeline.Results {
	results := pipeline.Results{Run: run.Name, UID: run.UID, Batch: b.Index, Round: b.Round, Consumer: run.UID, GPU: "instant GPU 0.0"}
	for i := range b.Count {
		item := b.First + i
		results.Results = append(results.Results, pipeline.Result{
			Index: i, Item: item, Text: m.texts[item%len(m.texts)], Finish: "stop", PromptTokens: tokensOf(questionBytes),
			OutputTokens: tokensOf(answerBytes), DurationMS: 8000, CreatedAt: time.Now().UTC().Truncate(time.Millisecond),
		})
	}
	return results
}

// plannedBatch returns a batch of a run that planned has written.
func plannedBatch(run pipeline.Run, index int, state pipeline.BatchState) pipeline.Batch {
	first := index * pipeline.DefaultBatch
	return pipeline.Batch{Run: run.Name, Index: index, First: first, Count: min(pipeline.DefaultBatch, run.Generations-first), State: state, Round: 1}
}
