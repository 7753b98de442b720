package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"os"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gleaner/internal/pipeline"
)

// identityDoc is the key of the only document in MongoDB's collection "store".
const identityDoc = "identity"

// A storeDoc says who a store is.
type storeDoc struct {
	Key       string    `bson:"_id"`
	ID        string    `bson:"id"`
	CreatedAt time.Time `bson:"created_at"`
}

// IsEmpty reports whether nothing was ever written to a store.
func IsEmpty(ctx context.Context, s Store) (bool, error) {
	who, err := s.Identity(ctx)
	if err != nil || who.ID != "" {
		return false, err
	}
	runs, err := s.Runs(ctx) // earlier versions gave it no id
	return len(runs) == 0, err
}

func (m *mongoStore) Identity(ctx context.Context) (pipeline.StoreIdentity, error) {
	who := pipeline.StoreIdentity{Name: m.shown}
	var doc storeDoc
	err := m.identity.FindOne(ctx, byID(identityDoc)).Decode(&doc)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return who, nil
	}
	who.ID = doc.ID
	return who, m.fail(ctx, err, "read the store's id")
}

func (m *mongoStore) MakeIdentity(ctx context.Context) (pipeline.StoreIdentity, error) {
	who, err := m.Identity(ctx)
	if err != nil || who.ID != "" {
		return who, err
	}
	first := bson.D{{Key: "id", Value: rand.Text()}, {Key: "created_at", Value: time.Now().UTC()}}
	_, err = m.identity.UpdateOne(ctx, byID(identityDoc), op("$setOnInsert", first), options.UpdateOne().SetUpsert(true))
	if err != nil && !mongo.IsDuplicateKeyError(err) { // another process was faster
		return who, m.fail(ctx, err, "give the store its id")
	}
	return m.Identity(ctx)
}

func (s *sqliteStore) Identity(ctx context.Context) (pipeline.StoreIdentity, error) {
	who, err := s.who(ctx, s.readers)
	return who, s.fail(ctx, err, "read the store's id")
}

func (s *sqliteStore) MakeIdentity(ctx context.Context) (who pipeline.StoreIdentity, err error) {
	if who, err = s.Identity(ctx); err != nil || who.ID != "" {
		return who, err
	}
	err = s.write(ctx, "give the store its id", func(ctx context.Context, tx *sql.Tx) error {
		if err := makeIdentity(ctx, tx); err != nil {
			return err
		}
		who, err = s.who(ctx, tx)
		return err
	})
	return who, err
}

func (s *sqliteStore) who(ctx context.Context, db queryer) (pipeline.StoreIdentity, error) {
	who := pipeline.StoreIdentity{Name: "sqlite:" + s.path}
	if host, err := os.Hostname(); err == nil && host != "" { // a machine without a name will do
		who.Name += " on " + host
	}
	err := db.QueryRowContext(ctx, "SELECT id FROM store").Scan(&who.ID)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return who, err
}
