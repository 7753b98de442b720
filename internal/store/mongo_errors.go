package store

import (
	"errors"
	"net"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"gleaner/internal/advice"
	"gleaner/internal/pipeline"
)

const (
	mongoDuplicateKey  = 11000
	mongoAtlasError    = 8000  // credentials or quota, distinguished by the text
	mongoOverQuota     = 12501 // "quota exceeded" of older servers
	mongoOutOfDisk     = 14031
	mongoUnauthorized  = 13
	mongoAuthFailed    = 18
	adviceCredentials  = "check the user, the password and, if the users are kept in another database, authSource=admin; the user needs readWrite on this database"
	adviceReadOnly     = "this user may only read: give it the role readWrite on this database (Atlas: Database Access, Edit, Read and write to any database)"
	adviceUnreachable  = "check the address, that the server is running, that this machine may reach it, and with Atlas that this machine's IP is on the project's access list"
	adviceAway         = "the MongoDB server is away at present, or does not answer; is it running?"
	adviceIncompatible = "the server does not support what Gleaner needs: use MongoDB 5 or later, or a server that is compatible with it"
)

// adviceQuota says how room is made in a database that is full.
func adviceQuota() string {
	return "the database is full: delete runs that are exported (" + advice.Command("delete", "--run", "NAME") + ") or use a bigger cluster; what is stored can still be read and exported"
}

// incompatible are the codes with which a server refuses a command for good: bad value, failed to
// parse, type mismatch, no such command, not supported, document too big, not implemented,
// unknown operator.
func incompatible(code int) bool {
	return slices.Contains([]int{2, 9, 14, 59, 115, 238, 10334, 17280, 40323, 40324}, code)
}

// diagnoseMongo returns the class of a driver's error and what a person can do about it. What is
// not known to be permanent is Retryable: trying again loses nothing, giving up does. This includes
// a database that is full: it accepts writes again as soon as someone has made room, and the
// programs should then go on without a restart.
func diagnoseMongo(err error) (pipeline.Class, string) {
	var server mongo.ServerError
	if errors.As(err, &server) {
		for _, code := range server.ErrorCodes() {
			switch {
			case code == mongoOverQuota || code == mongoOutOfDisk || code == mongoAtlasError && aboutQuota(err):
				return pipeline.Retryable, adviceQuota()
			case code == mongoUnauthorized && !strings.Contains(err.Error(), "requires authentication"):
				return pipeline.Fatal, adviceReadOnly
			case code == mongoUnauthorized || code == mongoAuthFailed || code == mongoAtlasError:
				return pipeline.Fatal, adviceCredentials
			case incompatible(code):
				return pipeline.Fatal, adviceIncompatible
			}
		}
		if aboutQuota(err) {
			return pipeline.Retryable, adviceQuota()
		}
	}
	switch {
	case aboutCredentials(err):
		return pipeline.Fatal, adviceCredentials
	case server == nil, mongo.IsNetworkError(err), mongo.IsTimeout(err):
		return pipeline.Retryable, adviceAway
	}
	return pipeline.Retryable, ""
}

// overQuota reports whether the server refuses writes because the database is too full.
func overQuota(err error) bool {
	_, advice := diagnoseMongo(err)
	return advice == adviceQuota()
}

// aboutQuota recognizes errors of Atlas by their texts, since its proxy gives the same code for
// every reason.
func aboutQuota(err error) bool {
	text := strings.ToLower(err.Error())
	return strings.Contains(text, "space quota") || strings.Contains(text, "over your quota") || strings.Contains(text, "quota exceeded")
}

// aboutCredentials recognizes a refused handshake by the driver's text, since the driver does not
// export the error's type.
func aboutCredentials(err error) bool {
	var network net.Error
	if errors.As(err, &network) {
		return false
	}
	text := err.Error()
	return strings.Contains(text, "auth error:") || strings.Contains(text, "AuthenticationFailed") || strings.Contains(text, "bad auth")
}

// duplicates returns the positions of the documents that an unordered write did not store because
// they exist already, or the error if anything else went wrong.
func duplicates(err error) (map[int]bool, error) {
	if err == nil {
		return nil, nil
	}
	var bulk mongo.BulkWriteException
	if !errors.As(err, &bulk) {
		return nil, err
	}
	others := slices.DeleteFunc(slices.Clone(bulk.WriteErrors), func(e mongo.BulkWriteError) bool { return e.Code == mongoDuplicateKey })
	if bulk.WriteConcernError != nil || len(bulk.WriteErrors) == 0 || len(others) > 0 {
		if whole, ok := err.(mongo.BulkWriteException); ok { // nothing is wrapped around it
			whole.WriteErrors = others // what was stored before is no part of the reason, and comes with each further try
			err = whole
		}
		return nil, err
	}
	positions := make(map[int]bool, len(bulk.WriteErrors))
	for _, e := range bulk.WriteErrors {
		positions[e.Index] = true
	}
	return positions, nil
}
