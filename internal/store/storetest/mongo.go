package storetest

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gleaner/internal/needtest"
)

// MongoURI returns the URI of the server that MONGODB_URI names, with a new database that is
// dropped at the end of the test. Without the variable the test is skipped, or fails
// where CI is set.
func MongoURI(t testing.TB) string {
	t.Helper()
	uri := needtest.Env(t, "MONGODB_URI", "no MongoDB is tested without mongodb://HOST:PORT/ of a server that may be written to; .ci/mongo.sh starts one")
	database := "gleaner_test_" + strings.ToLower(rand.Text()[:12])
	t.Cleanup(func() { dropDatabase(t, uri, database) })
	return withDatabase(uri, database)
}

// withDatabase replaces the database of a URI.
func withDatabase(uri, database string) string {
	scheme, rest, _ := strings.Cut(uri, "://")
	rest, query, hasQuery := strings.Cut(rest, "?")
	user, hosts, hasUser := strings.Cut(rest, "@")
	if !hasUser {
		user, hosts = "", rest
	} else {
		user += "@"
	}
	hosts, _, _ = strings.Cut(hosts, "/")
	uri = scheme + "://" + user + hosts + "/" + database
	if hasQuery {
		uri += "?" + query
	}
	return uri
}

func dropDatabase(t testing.TB, uri, database string) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second) // the test's own context has ended
	defer cancel()
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		t.Errorf("drop the test's database %s: %v", database, err)
		return
	}
	if err := client.Database(database).Drop(ctx); err != nil {
		t.Errorf("drop the test's database %s: %v", database, err)
	}
	if err := client.Disconnect(ctx); err != nil {
		t.Errorf("disconnect: %v", err)
	}
}
