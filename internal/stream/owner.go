package stream

import (
	"context"
	"maps"
	"strings"
	"sync/atomic"

	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go/jetstream"
)

// Keys of a stream's metadata, which say whose it is.
const (
	metaStore     = "store"      // the store's id
	metaStoreName = "store_name" // where it is, for people
)

// ownedStreams returns the streams that say whose they are. The first one decides between two
// stores that make or take them at once.
func ownedStreams() []string { return []string{WorkStream, ResultsStream, DeadStream} }

// An owner is for which store a connection makes streams, and what keeps it from those of another
// one.
type owner struct {
	store   atomic.Pointer[pipeline.StoreIdentity] // nil: not known
	confirm func(ctx context.Context) error        // nil: nothing is compared
}

// allows returns why the store's side may not use the streams, or nil.
func (o *owner) allows(ctx context.Context) error {
	if o.confirm == nil {
		return nil
	}
	return o.confirm(ctx)
}

func ownerOf(is jetstream.StreamConfig) pipeline.StoreIdentity {
	return pipeline.StoreIdentity{ID: is.Metadata[metaStore], Name: is.Metadata[metaStoreName]}
}

// withOwner returns metadata that name a store, besides what else they say.
func withOwner(before map[string]string, store pipeline.StoreIdentity) map[string]string {
	meta := maps.Clone(before)
	if meta == nil {
		meta = map[string]string{}
	}
	maps.DeleteFunc(meta, serverKey)
	meta[metaStore], meta[metaStoreName] = store.ID, store.Name
	return meta
}

// checkOwner refuses a stream of another store.
func (o *owner) checkOwner(is jetstream.StreamConfig) error {
	store, of := o.store.Load(), ownerOf(is)
	if store == nil || of.ID == "" || of.ID == store.ID {
		return nil
	}
	return pipeline.Fail(pipeline.Fatal, "stream %s: %w: it belongs to %.200q, and this program works for %s", is.Name, pipeline.ErrOtherStore, of.Name, store.Name)
}

// serverKey reports whether the server itself set a key of the metadata.
func serverKey(key, _ string) bool { return strings.HasPrefix(key, "_nats.") }
