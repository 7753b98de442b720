package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"os"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gleaner/internal/pipeline"
)

// newID returns an id that no other store has.
func newID() string { return rand.Text() }

// identityDoc is the key of the only document in MongoDB's collection "store".
const identityDoc = "identity"

// A storeDoc says who a store is.
type storeDoc struct {
	Key       string    `bson:"_id"`
	ID        string    `bson:"id"`
	CreatedAt time.Time `bson:"created_at"`
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
	first := bson.D{{Key: "id", Value: newID()}, {Key: "created_at", Value: time.Now().UTC()}}
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

// makeIdentity gives the store an id unless it has one.
func makeIdentity(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO store (key, id, created_at) VALUES (1, ?, ?) ON CONFLICT (key) DO NOTHING", newID(), millis(time.Now()))
	return err
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

// home replaces a ~ at the beginning of a path by the user's home folder, as a shell does where it
// sees one. It returns what is wrong with the path, if it cannot.
func home(path string) (string, string) {
	rest, found := strings.CutPrefix(path, "~")
	switch {
	case !found:
		return path, ""
	case rest != "" && !strings.HasPrefix(rest, "/"):
		return "", "the home folder of another user is not looked up: write the path out, as in sqlite:/home/NAME/gleaner.db"
	}
	folder, err := os.UserHomeDir()
	if err != nil {
		return "", "there is no home folder that ~ could stand for: write the path out, as in sqlite:/home/NAME/gleaner.db"
	}
	return folder + rest, ""
}
