package store

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gleaner/internal/pipeline"
)

func (m *mongoStore) CreateRun(ctx context.Context, run pipeline.Run) (pipeline.Run, bool, error) {
	what := "create run " + run.Name
	err := m.batches.makeIndex(ctx, mongo.IndexModel{Keys: bson.D{{Key: "run", Value: 1}, {Key: "state", Value: 1}, {Key: "_id", Value: 1}}})
	if err != nil {
		return pipeline.Run{}, false, m.fail(ctx, err, what+": make the index of batches")
	}
	if _, err := m.MakeIdentity(ctx); err != nil {
		return pipeline.Run{}, false, err
	}
	run.State = pipeline.RunLoading
	for range 10 { // more than once only if a run of this name is deleted at this moment
		_, err = m.runs.InsertOne(ctx, runDoc(run))
		if err == nil {
			break
		}
		if !mongo.IsDuplicateKeyError(err) {
			return pipeline.Run{}, false, m.fail(ctx, err, what)
		}
		stored, err := m.Run(ctx, run.Name)
		if !errors.Is(err, pipeline.ErrNoRun) {
			return stored, false, err
		}
	}
	if err != nil {
		return pipeline.Run{}, false, m.fail(ctx, err, what)
	}
	stored, err := m.Run(ctx, run.Name)
	return stored, true, err
}

func (m *mongoStore) Run(ctx context.Context, name string) (pipeline.Run, error) {
	var doc runDoc
	err := m.runs.FindOne(ctx, byID(name)).Decode(&doc)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return pipeline.Run{}, noRun("run " + name)
	}
	return doc.run(), m.fail(ctx, err, "read run "+name)
}

func (m *mongoStore) Runs(ctx context.Context) ([]pipeline.Run, error) {
	var docs []runDoc
	if err := m.runs.findAll(ctx, bson.D{}, &docs, options.Find().SetSort(op("_id", 1))); err != nil {
		return nil, m.fail(ctx, err, "read all runs")
	}
	runs := make([]pipeline.Run, len(docs))
	for i, doc := range docs {
		runs[i] = doc.run()
	}
	return runs, nil
}

func (m *mongoStore) CountRuns(ctx context.Context, state pipeline.RunState) (int, error) {
	n, err := m.runs.CountDocuments(ctx, bson.D{{Key: "state", Value: state}})
	return int(n), m.fail(ctx, err, "count the runs")
}

func (m *mongoStore) Seal(ctx context.Context, name string, batches int) error {
	result, err := m.runs.UpdateOne(ctx,
		bson.D{{Key: "_id", Value: name}, {Key: "state", Value: pipeline.RunLoading}},
		op("$set", bson.D{{Key: "state", Value: pipeline.RunOpen}, {Key: "batches", Value: batches}}))
	if err != nil {
		return m.fail(ctx, err, "seal run "+name)
	}
	if result.MatchedCount == 0 {
		_, err = m.Run(ctx, name)
	}
	return err
}

func (m *mongoStore) Pin(ctx context.Context, run string, engine pipeline.EngineName, from, to string) (pinned string, err error) {
	path := "pins." + string(engine)
	before := bson.E{Key: path, Value: from}
	if from == "" {
		before = bson.E{Key: path, Value: op("$in", bson.A{nil, ""})} // null is also a field that is not there
	}
	result, err := m.runs.UpdateOne(ctx, bson.D{{Key: "_id", Value: run}, before}, op("$set", op(path, to)))
	switch {
	case err != nil:
		return "", m.fail(ctx, err, "pin run "+run)
	case result.MatchedCount == 1:
		return to, nil
	}
	stored, err := m.Run(ctx, run)
	return stored.Pins[engine], err
}

func (m *mongoStore) Pause(ctx context.Context, name, uid string, pause pipeline.RunPause) error {
	notPaused := bson.A{op("pause", nil), op("pause.ended", op("$ne", nil))} // null is also a field that is not there
	result, err := m.runs.UpdateOne(ctx, append(openRun(name, uid), field("$or", notPaused)),
		op("$set", op("pause", bson.D{field("since", pause.Since), field("cause", pause.Cause), field("reason", pause.Reason)})))
	return m.changed(ctx, name, "pause", result, err)
}

func (m *mongoStore) Resume(ctx context.Context, name, uid string, at time.Time) error {
	result, err := m.runs.UpdateOne(ctx,
		append(openRun(name, uid), field("pause", op("$ne", nil)), field("pause.ended", nil)),
		op("$set", op("pause.ended", at)))
	return m.changed(ctx, name, "resume", result, err)
}

// openRun finds a load of a run if it is open.
func openRun(name, uid string) bson.D {
	return bson.D{field("_id", name), field("uid", uid), field("state", pipeline.RunOpen)}
}

func field(key string, value any) bson.E { return bson.E{Key: key, Value: value} }

// changed returns the error of an update of a run, which is pipeline.ErrNoRun if there is none.
func (m *mongoStore) changed(ctx context.Context, name, what string, result *mongo.UpdateResult, err error) error {
	if err != nil {
		return m.fail(ctx, err, what+" run "+name)
	}
	if result.MatchedCount == 0 {
		_, err = m.Run(ctx, name)
	}
	return err
}

func (m *mongoStore) Cancel(ctx context.Context, name string) error {
	result, err := m.runs.UpdateOne(ctx,
		bson.D{{Key: "_id", Value: name}, {Key: "state", Value: op("$in", bson.A{pipeline.RunLoading, pipeline.RunOpen})}},
		op("$set", bson.D{{Key: "state", Value: pipeline.RunCancelled}}))
	if err != nil {
		return m.fail(ctx, err, "cancel run "+name)
	}
	if result.MatchedCount == 0 {
		_, err = m.Run(ctx, name)
	}
	return err
}

// deleteChunk is how many documents one command of DeleteRun removes: few enough to take a second
// or two on a small server.
const deleteChunk = 2000

// DeleteRun removes the batches first: results that a sink writes at the same time then find no
// batch, and the sink takes them back (see dropStrays). A database over its quota refuses the
// mark, and only deletions make room in it. Then the run is deleted without the mark, which is
// safe because no other process can write to it either, and marked as soon as there is room.
func (m *mongoStore) DeleteRun(ctx context.Context, name string, progress func(int)) error {
	marked, err := m.markDeleting(ctx, name)
	if err != nil {
		return err
	}
	removed := 0
	count := func(n int) {
		removed += n
		if progress != nil && n > 0 {
			progress(removed)
		}
	}
	// The second pass removes what a call that had begun before the mark wrote after the first one.
	for _, collection := range []mongoCollection{m.batches, m.results, m.items, m.batches, m.results, m.items} {
		if err := m.deleteRange(ctx, collection, name, count); err != nil {
			return m.fail(ctx, err, "delete the "+collection.name+" of run "+name)
		}
		if !marked {
			if marked, err = m.markDeleting(ctx, name); err != nil {
				return err
			}
		}
	}
	gone, err := m.consumers.DeleteMany(ctx, op("run", name))
	if err != nil {
		return m.fail(ctx, err, "delete the consumers of run "+name)
	}
	last := byID(name)
	if marked {
		last = bson.D{{Key: "_id", Value: name}, {Key: "state", Value: pipeline.RunDeleting}}
	}
	if _, err := m.runs.DeleteOne(ctx, last); err != nil {
		return m.fail(ctx, err, "delete run "+name)
	}
	count(int(gone.DeletedCount) + 1)
	return nil
}

// markDeleting stops other processes from writing to a run. It reports false if the run is there
// and the database is too full for the mark.
func (m *mongoStore) markDeleting(ctx context.Context, name string) (bool, error) {
	marked, err := m.runs.UpdateOne(ctx, byID(name), op("$set", op("state", pipeline.RunDeleting)))
	switch {
	case err != nil && overQuota(err):
		_, err := m.Run(ctx, name)
		return false, err
	case err != nil:
		return false, m.fail(ctx, err, "mark run "+name+" as deleting")
	case marked.MatchedCount == 0:
		return false, noRun("delete run " + name)
	}
	return true, nil
}

func (m *mongoStore) deleteRange(ctx context.Context, collection mongoCollection, run string, count func(int)) error {
	low, high := pipeline.IDRange(run)
	last := options.FindOne().SetSort(op("_id", 1)).SetSkip(deleteChunk).SetProjection(op("_id", 1))
	for {
		var end struct {
			ID string `bson:"_id"`
		}
		err := collection.FindOne(ctx, between(low, high), last).Decode(&end)
		more := err == nil
		if err != nil && !errors.Is(err, mongo.ErrNoDocuments) {
			return err
		}
		if !more {
			end.ID = high
		}
		result, err := collection.DeleteMany(ctx, between(low, end.ID))
		if err != nil {
			return err
		}
		count(int(result.DeletedCount))
		if !more {
			return nil
		}
	}
}
