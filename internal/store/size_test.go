package store_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gleaner/internal/pipeline"
	"gleaner/internal/store"
	"gleaner/internal/store/storetest"
)

// indexEntry is what the meter counts for each key of an index besides the key.
const indexEntry = 16

// The meter computes sizes without a server. Here a server stores the same documents, and their
// actual sizes are read back.
func TestTheMeterKnowsTheSizeOfDocuments(t *testing.T) {
	ctx, uri := t.Context(), storetest.MongoURI(t)
	s, err := store.Open(ctx, uri)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	run := pipeline.Run{Name: "metered", UID: "01J00000000000000000000000", Items: 8, Generations: 8, Spec: pipeline.Spec{Model: "m", Samples: 1, Batch: 8}}
	if _, _, err := s.CreateRun(ctx, run); err != nil {
		t.Fatal(err)
	}
	items, results, want := make([]pipeline.Item, 8), pipeline.Results{Run: run.Name, UID: run.UID, Round: 1, Consumer: run.UID, GPU: "GPU"}, map[string]int{}
	add := func(kind string, n int, err error) {
		if err != nil {
			t.Fatal(err)
		}
		want[kind] += n
	}
	for i := range items {
		items[i] = pipeline.Item{Run: run.Name, Seq: i, Input: []byte(`{"question": "` + strings.Repeat("why ", 10*i) + `"}`)}
		results.Results = append(results.Results, pipeline.Result{
			Index: i, Item: i, Text: strings.Repeat("because ", 20*i+1), Finish: "stop", PromptTokens: 10 * i, OutputTokens: 20 * i, DurationMS: 1000, CreatedAt: time.Now().UTC(),
		})
		n, err := store.DocumentMeter{}.Item(items[i])
		add("items", n-len(items[i].ID())-indexEntry, err)
		n, err = store.DocumentMeter{}.Result(results, results.Results[i])
		add("results", n-len(pipeline.GenerationID(run.Name, i, 0))-indexEntry, err)
	}
	batch := pipeline.Batch{Run: run.Name, Count: 8, State: pipeline.Planned, Round: 1}
	done := batch
	done.State, done.Done, done.QueuedAt, done.DoneAt = pipeline.Done, []int{0, 1, 2, 3, 4, 5, 6, 7}, time.Now(), time.Now()
	n, err := store.DocumentMeter{}.Batch(done)
	add("batches", n-2*len(done.ID())-len(done.Run)-len(done.State)-2*indexEntry, err)
	for _, err := range []error{s.PutItems(ctx, items), s.PutBatches(ctx, []pipeline.Batch{batch}), s.MarkQueued(ctx, run.Name, []int{0}, time.Now())} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.WriteResults(ctx, []pipeline.Results{results}, time.Now()); err != nil {
		t.Fatal(err)
	}

	location, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Disconnect(ctx) }()
	for name, bytes := range want {
		cursor, err := client.Database(strings.TrimPrefix(location.Path, "/")).Collection(name).Find(ctx, bson.D{})
		if err != nil {
			t.Fatal(err)
		}
		is := 0
		for cursor.Next(ctx) {
			is += len(cursor.Current)
		}
		if cursor.Err() != nil || is < bytes*95/100 || is > bytes*105/100 {
			t.Errorf("the %s have %d bytes, the meter says %d (%v)", name, is, bytes, cursor.Err())
		}
	}
}
