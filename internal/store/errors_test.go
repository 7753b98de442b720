package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"gleaner/internal/pipeline"
)

func TestMongoErrorsHaveAClass(t *testing.T) {
	command := func(code int32, text string) error { return mongo.CommandError{Code: code, Message: text} }
	duplicate := mongo.BulkWriteError{WriteError: mongo.WriteError{Code: 11000}}
	for _, c := range []struct {
		err    error
		class  pipeline.Class
		advice string
	}{
		{io.ErrUnexpectedEOF, pipeline.Retryable, adviceAway},
		{context.DeadlineExceeded, pipeline.Retryable, adviceAway},
		{mongo.CommandError{Message: "connection closed", Labels: []string{"NetworkError"}}, pipeline.Retryable, adviceAway},
		{command(10107, "not primary"), pipeline.Retryable, ""},
		{command(91, "shutdown in progress"), pipeline.Retryable, ""},
		{command(50, "operation exceeded time limit"), pipeline.Retryable, adviceAway},
		{command(13, "not authorized on gleaner to execute command { update: \"store\" }"), pipeline.Fatal, adviceReadOnly},
		{command(13, "command update requires authentication"), pipeline.Fatal, adviceCredentials},
		{command(18, "Authentication failed."), pipeline.Fatal, adviceCredentials},
		{command(8000, "bad auth : authentication failed"), pipeline.Fatal, adviceCredentials},
		{command(8000, "you are over your space quota, using 513 MB of 512 MB"), pipeline.Retryable, adviceQuota()},
		{command(12501, "quota exceeded"), pipeline.Retryable, adviceQuota()},
		{command(14031, "Cannot write, disk full"), pipeline.Retryable, adviceQuota()},
		{command(59, "no such command"), pipeline.Fatal, adviceIncompatible},
		{mongo.BulkWriteException{WriteErrors: []mongo.BulkWriteError{duplicate, {WriteError: mongo.WriteError{Code: 8000, Message: "you are over your space quota"}}}}, pipeline.Retryable, adviceQuota()},
		{errors.New("connection() error occurred during connection handshake: auth error: sasl conversation error"), pipeline.Fatal, adviceCredentials},
	} {
		class, advice := diagnoseMongo(fmt.Errorf("wrapped: %w", c.err))
		if class != c.class || advice != c.advice {
			t.Errorf("%v: got %s (%s), want %s (%s)", c.err, class, advice, c.class, c.advice)
		}
	}
}

func TestDuplicatesAreTheOnlyWriteErrorsThatAreIgnored(t *testing.T) {
	write := func(code int) mongo.BulkWriteError {
		return mongo.BulkWriteError{WriteError: mongo.WriteError{Index: code % 10, Code: code, Message: map[int]string{11000: "E11000"}[code]}}
	}
	positions, err := duplicates(mongo.BulkWriteException{WriteErrors: []mongo.BulkWriteError{write(11000)}})
	if err != nil || !positions[0] || len(positions) != 1 {
		t.Errorf("got %v, %v", positions, err)
	}
	for _, bad := range []error{
		io.EOF,
		mongo.BulkWriteException{WriteErrors: []mongo.BulkWriteError{write(11000), write(8000)}},
		mongo.BulkWriteException{WriteErrors: []mongo.BulkWriteError{write(11000)}, WriteConcernError: &mongo.WriteConcernError{Code: 64}},
		mongo.BulkWriteException{WriteConcernError: &mongo.WriteConcernError{Code: 64}},
	} {
		if _, err := duplicates(bad); err == nil || strings.Contains(err.Error(), "E11000") {
			t.Errorf("%v is taken for a success", bad)
		}
	}
}

func TestAnErrorSaysWhatWasBeingDoneAndIsTheContextsErrorIfThatEnded(t *testing.T) {
	err := failure(t.Context(), pipeline.Fatal, "store 3 results of run a", io.EOF, "do this")
	if err.Error() != "store 3 results of run a: EOF (do this)" || !errors.Is(err, io.EOF) || pipeline.ClassOf(err) != pipeline.Fatal {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = failure(ctx, pipeline.Fatal, "store 3 results of run a", io.EOF, "do this")
	if err.Error() != "store 3 results of run a: context canceled" || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestThePasswordOfAURIIsNeverShown(t *testing.T) {
	for uri, want := range map[string]mongoTarget{
		"mongodb://host":                              {shown: "mongodb://host/gleaner", database: "gleaner"},
		"mongodb://host/":                             {shown: "mongodb://host/gleaner", database: "gleaner"},
		"mongodb://a:1,b:2/x?replicaSet=r":            {shown: "mongodb://a:1,b:2/x", database: "x"},
		"mongodb+srv://u:p%40ss@c.mongodb.net/?w=1":   {shown: "mongodb+srv://c.mongodb.net/gleaner", database: "gleaner", password: "p%40ss"},
		"mongodb://u:p@ss@host/my%2Ddb?authSource=ad": {shown: "mongodb://host/my%2Ddb", database: "my-db", password: "p@ss"},
	} {
		got := parseMongoURI(uri)
		if got != want {
			t.Errorf("%s: got %+v, want %+v", uri, got, want)
		}
		if got.password == "" {
			continue
		}
		for _, secret := range []string{"p%40ss", "p@ss"} {
			text := got.hide(errors.New("cannot use " + got.password)).Error()
			if strings.Contains(text, secret) {
				t.Errorf("%s: shows the password: %s", uri, text)
			}
		}
	}
}

func TestRowsKeysSortAsIdsDo(t *testing.T) {
	last := int64(-1)
	for _, run := range []int64{1, 2, 1 << 22} {
		for _, g := range []generation{{0, 0}, {0, 999}, {1, 0}, {pipeline.MaxItems - 1, 999}} {
			key := resultKey(run, g)
			if key <= last || key >= keyEnd(run) || keyGeneration(key) != g {
				t.Errorf("run %d, %v: key %d after %d, back %v", run, g, key, last, keyGeneration(key))
			}
			last = key
		}
		if key := batchKey(run, pipeline.MaxBatches-1); key >= keyEnd(run) || keyBatch(key) != pipeline.MaxBatches-1 {
			t.Errorf("batch key %d of run %d", key, run)
		}
	}
}
