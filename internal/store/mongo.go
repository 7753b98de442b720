package store

import (
	"context"
	"iter"
	"net/url"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
	"gleaner/internal/text"
)

// mongoConnections bounds the connections of one process: a free cluster has 500 for all its
// clients together.
const mongoConnections = 16

// closeTimeout is how long the driver may take to say goodbye to the server.
const closeTimeout = 2 * time.Second

// A mongoStore keeps the ledger in MongoDB. It needs no transactions: every method is a few
// commands, and after each of them the call can be repeated to complete it.
type mongoStore struct {
	clients   *mongoClients
	runs      mongoCollection
	items     mongoCollection
	batches   mongoCollection
	results   mongoCollection
	consumers mongoCollection
	identity  mongoCollection
	packer    *packer
	shown     string // the URI without credentials and options
	voice     outage.Voice
}

func openMongo(ctx context.Context, uri string) (Store, error) {
	target := parseMongoURI(uri)
	what := "open the store " + target.shown
	if target.problem != "" {
		return nil, pipeline.Fail(pipeline.Fatal, "%s: %s", what, target.problem)
	}
	opts := options.Client().ApplyURI(uri)
	if err := opts.Validate(); err != nil {
		class, advice := diagnoseMongoURI(uri, err)
		return nil, failure(ctx, class, what, target.hide(err), advice)
	}
	opts.SetAppName("gleaner").SetWriteConcern(writeconcern.Majority()).SetBSONOptions(&options.BSONOptions{UseJSONStructTags: true})
	if opts.ServerSelectionTimeout == nil {
		opts.SetServerSelectionTimeout(openTimeout - time.Second)
	}
	if opts.MaxPoolSize == nil {
		opts.SetMaxPoolSize(mongoConnections)
	}
	if opts.ConnectTimeout == nil {
		opts.SetConnectTimeout(openTimeout) // the driver would wait for a dead one of its own connections for 40 s
	}
	clients, err := connect(opts, target.database)
	if err != nil {
		return nil, failure(ctx, pipeline.Fatal, what, target.hide(err), "check the URI's options")
	}
	if err := clients.ping(ctx); err != nil {
		_ = clients.close(context.WithoutCancel(ctx)) // it was never connected
		class, advice, err := diagnoseMongoOpen(err, opts.TLSConfig != nil)
		return nil, failure(ctx, class, what, target.hide(err), advice)
	}
	packer, err := newPacker()
	if err != nil {
		return nil, failure(ctx, pipeline.Fatal, what, err, "")
	}
	return &mongoStore{
		packer: packer, clients: clients, runs: clients.collection("runs"), items: clients.collection("items"), batches: clients.collection("batches"),
		results: clients.collection("results"), consumers: clients.collection("consumers"),
		identity: clients.collection("store"), shown: target.shown,
	}, nil
}

func (m *mongoStore) Ping(ctx context.Context) error {
	return m.fail(ctx, m.clients.ping(ctx), "ping database "+m.clients.database)
}

// probeDoc is the key of a document that is never there.
const probeDoc = "probe"

// MayWrite changes a document that is not there, which needs the right to write and writes nothing.
func (m *mongoStore) MayWrite(ctx context.Context) error {
	_, err := m.identity.UpdateOne(ctx, byID(probeDoc), op("$set", op("probed", true)))
	return m.fail(ctx, err, "see whether the store can be written")
}

func (m *mongoStore) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	return m.fail(ctx, m.clients.close(ctx), "close the store")
}

func (m *mongoStore) Answers(ctx context.Context, run string) iter.Seq2[pipeline.Answer, error] {
	return answers(ctx, m, run)
}

func (m *mongoStore) SampleAnswers(ctx context.Context, run string, count int, random bool) ([]pipeline.Answer, error) {
	return sampleAnswers(ctx, m, run, count, random)
}

func (m *mongoStore) ItemAnswers(ctx context.Context, run string, item int) ([]pipeline.Answer, error) {
	return itemAnswers(ctx, m, run, item)
}

// fail returns nil for nil.
func (m *mongoStore) fail(ctx context.Context, err error, what string) error {
	if err == nil {
		return nil
	}
	class, advice := diagnoseMongo(err)
	err = failure(ctx, class, what, err, advice)
	if pipeline.IsOutage(err) {
		return m.voice.Mark(err, advice)
	}
	return err
}

// A mongoTarget holds the parts of a URI that this package has to know. The driver reads the rest.
type mongoTarget struct {
	shown    string // the URI without credentials and options
	database string
	password string // as it is written in the URI
	problem  string // what is wrong with it
}

func parseMongoURI(uri string) mongoTarget {
	scheme, rest, ok := strings.Cut(uri, "://")
	if !ok {
		return mongoTarget{shown: strings.SplitN(uri, ":", 2)[0] + ":…", problem: "use mongodb://HOST/DATABASE, with two slashes"}
	}
	rest, query, _ := strings.Cut(rest, "?")
	var t mongoTarget
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		_, t.password, _ = strings.Cut(rest[:at], ":")
		rest = rest[at+1:]
	} else if at := strings.LastIndexByte(query, '@'); at >= 0 {
		// The password contains a question mark, so nothing before the @ may be shown.
		return mongoTarget{shown: scheme + "://…", problem: "the user or password holds a ? or /: write it percent-encoded"}
	}
	hosts, database, _ := strings.Cut(rest, "/")
	t.shown = text.Address(scheme + "://" + hosts + "/" + database)
	name, err := url.PathUnescape(database)
	switch {
	case hosts == "":
		t.problem = "the host is missing: use mongodb://HOST/DATABASE"
	case err != nil || len(name) > 63 || strings.ContainsAny(name, "/\\. \"$*<>:|?"):
		t.problem = "the database's name is not allowed"
	case name == "":
		name, t.shown = "gleaner", t.shown+"gleaner"
	}
	t.database = name
	return t
}

// hide replaces an error whose text holds the password or a part of it, such as an error about its
// encoding.
func (t mongoTarget) hide(err error) error {
	if t.password != "" && (text.SecretsOf(t.password).In(err.Error()) || strings.Contains(err.Error(), "invalid URL escape")) {
		return hidden{err}
	}
	return err
}

// hidden is an error whose text would show a password.
type hidden struct{ err error }

func (h hidden) Error() string {
	return "the URI is not usable, and the reason would show its password: check that user and password are percent-encoded"
}

// inRun is a filter for all documents of a run in a collection whose ids begin with the run's name.
func inRun(run string) bson.D {
	low, high := pipeline.IDRange(run)
	return between(low, high)
}

func between(low, high string) bson.D {
	return bson.D{{Key: "_id", Value: bson.D{{Key: "$gte", Value: low}, {Key: "$lt", Value: high}}}}
}

func byID(id string) bson.D { return bson.D{{Key: "_id", Value: id}} }

// op is a document of one field, such as an operator and its argument.
func op(name string, value any) bson.D { return bson.D{{Key: name, Value: value}} }
