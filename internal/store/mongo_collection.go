package store

import (
	"context"
	"errors"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// A mongoCollection is a collection of the driver whose commands have deadlines. Its methods are
// the driver's, but for those that read many documents: they read all of them before they
// return.
type mongoCollection struct {
	clients *mongoClients
	name    string
	meter   *rowMeter
}

func (c *mongoClients) collection(name string) mongoCollection {
	return mongoCollection{clients: c, name: name, meter: &rowMeter{}}
}

func (c mongoCollection) InsertOne(ctx context.Context, doc any) (*mongo.InsertOneResult, error) {
	return ask(ctx, c.clients, 0, func(ctx context.Context, db *mongo.Database) (*mongo.InsertOneResult, error) {
		return db.Collection(c.name).InsertOne(ctx, doc)
	})
}

// insertMany inserts documents of this many bytes together, in any order.
func (c mongoCollection) insertMany(ctx context.Context, docs any, bytes int) error {
	_, err := ask(ctx, c.clients, bytes, func(ctx context.Context, db *mongo.Database) (*mongo.InsertManyResult, error) {
		return db.Collection(c.name).InsertMany(ctx, docs, options.InsertMany().SetOrdered(false))
	})
	return err
}

// bulkWrite changes documents in any order. The changes have this many bytes together.
func (c mongoCollection) bulkWrite(ctx context.Context, models []mongo.WriteModel, bytes int) (*mongo.BulkWriteResult, error) {
	return ask(ctx, c.clients, bytes, func(ctx context.Context, db *mongo.Database) (*mongo.BulkWriteResult, error) {
		return db.Collection(c.name).BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false))
	})
}

func (c mongoCollection) UpdateOne(
	ctx context.Context, filter, update any, opts ...options.Lister[options.UpdateOneOptions],
) (*mongo.UpdateResult, error) {
	return ask(ctx, c.clients, 0, func(ctx context.Context, db *mongo.Database) (*mongo.UpdateResult, error) {
		return db.Collection(c.name).UpdateOne(ctx, filter, update, opts...)
	})
}

func (c mongoCollection) UpdateMany(ctx context.Context, filter, update any) (*mongo.UpdateResult, error) {
	return ask(ctx, c.clients, 0, func(ctx context.Context, db *mongo.Database) (*mongo.UpdateResult, error) {
		return db.Collection(c.name).UpdateMany(ctx, filter, update)
	})
}

func (c mongoCollection) FindOneAndUpdate(
	ctx context.Context, filter, update any, opts ...options.Lister[options.FindOneAndUpdateOptions],
) *mongo.SingleResult {
	return c.one(ctx, func(ctx context.Context, collection *mongo.Collection) *mongo.SingleResult {
		return collection.FindOneAndUpdate(ctx, filter, update, opts...)
	})
}

func (c mongoCollection) FindOne(ctx context.Context, filter any, opts ...options.Lister[options.FindOneOptions]) *mongo.SingleResult {
	return c.one(ctx, func(ctx context.Context, collection *mongo.Collection) *mongo.SingleResult {
		return collection.FindOne(ctx, filter, opts...)
	})
}

func (c mongoCollection) CountDocuments(ctx context.Context, filter any) (int64, error) {
	return ask(ctx, c.clients, 0, func(ctx context.Context, db *mongo.Database) (int64, error) {
		return db.Collection(c.name).CountDocuments(ctx, filter)
	})
}

// one returns a result that has its document, so that nothing is read after the deadline's context
// has ended.
func (c mongoCollection) one(ctx context.Context, find func(context.Context, *mongo.Collection) *mongo.SingleResult) *mongo.SingleResult {
	found, err := ask(ctx, c.clients, 0, func(ctx context.Context, db *mongo.Database) (*mongo.SingleResult, error) {
		found := find(ctx, db.Collection(c.name))
		_, err := found.Raw()
		return found, err
	})
	if err != nil { // ask may know more about it than the driver
		return mongo.NewSingleResultFromDocument(bson.D{}, err, nil)
	}
	return found
}

func (c mongoCollection) DeleteOne(ctx context.Context, filter any) (*mongo.DeleteResult, error) {
	return ask(ctx, c.clients, 0, func(ctx context.Context, db *mongo.Database) (*mongo.DeleteResult, error) {
		return db.Collection(c.name).DeleteOne(ctx, filter)
	})
}

func (c mongoCollection) DeleteMany(ctx context.Context, filter any) (*mongo.DeleteResult, error) {
	return ask(ctx, c.clients, 0, func(ctx context.Context, db *mongo.Database) (*mongo.DeleteResult, error) {
		return db.Collection(c.name).DeleteMany(ctx, filter)
	})
}

// makeIndex makes an index unless it is there.
func (c mongoCollection) makeIndex(ctx context.Context, model mongo.IndexModel) error {
	_, err := ask(ctx, c.clients, 0, func(ctx context.Context, db *mongo.Database) (string, error) {
		return db.Collection(c.name).Indexes().CreateOne(ctx, model)
	})
	return err
}

// findAll reads all documents that a filter names into docs, a pointer to a slice.
func (c mongoCollection) findAll(ctx context.Context, filter, docs any, opts ...options.Lister[options.FindOptions]) error {
	_, err := ask(ctx, c.clients, 0, func(ctx context.Context, db *mongo.Database) (struct{}, error) {
		cursor, err := db.Collection(c.name).Find(ctx, filter, opts...)
		if err == nil {
			err = cursor.All(ctx, docs)
		}
		return struct{}{}, err
	})
	return err
}

// aggregateRun evaluates a pipeline over a whole run.
func aggregateRun[T any](ctx context.Context, c mongoCollection, pipeline bson.A) ([]T, error) {
	return askForRun(ctx, c.clients, func(ctx context.Context, db *mongo.Database) ([]T, error) {
		cursor, err := db.Collection(c.name).Aggregate(ctx, pipeline)
		var docs []T
		if err == nil {
			err = cursor.All(ctx, &docs)
		}
		return docs, err
	})
}

// page reads one reply of the server: at most count documents in order, and fewer if they are big.
func page[D, T any](ctx context.Context, c mongoCollection, filter bson.D, count int, convert func(D) (T, error)) ([]T, error) {
	rows, bytes := c.meter.next(count, replySize(ctx))
	got, err := ask(ctx, c.clients, bytes, func(ctx context.Context, db *mongo.Database) ([]T, error) {
		// A negative limit asks for a single reply, with no cursor left open on the server.
		cursor, err := db.Collection(c.name).Find(ctx, filter, options.Find().SetSort(op("_id", 1)).SetLimit(-int64(rows)))
		if err != nil {
			return nil, err
		}
		return readAll(ctx, c.meter, cursor, convert)
	})
	if errors.Is(err, errUnanswered) {
		c.meter.unanswered()
	}
	return got, err
}

func readAll[D, T any](ctx context.Context, meter *rowMeter, cursor *mongo.Cursor, convert func(D) (T, error)) ([]T, error) {
	rows, bytes := make([]T, 0, cursor.RemainingBatchLength()), 0
	for cursor.Next(ctx) {
		var doc D
		if err := bson.Unmarshal(cursor.Current, &doc); err != nil { // the cursor's own Decode takes 8 KB of buffers for each
			return nil, errors.Join(err, cursor.Close(ctx))
		}
		row, err := convert(doc)
		if err != nil {
			return nil, errors.Join(err, cursor.Close(ctx))
		}
		rows, bytes = append(rows, row), bytes+len(cursor.Current)
	}
	meter.read(len(rows), bytes)
	return rows, errors.Join(cursor.Err(), cursor.Close(ctx))
}
