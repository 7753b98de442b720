package pipeline

import "errors"

// A StoreIdentity says which store something belongs to.
type StoreIdentity struct {
	ID   string `json:"id"`   // random, made at the store's first write; empty before that
	Name string `json:"name"` // where it is, for people: host and database, never credentials
}

// A StoreAbout is what a store says of itself.
type StoreAbout struct {
	Server  string // what it is, with its version
	Bytes   int64  // that the data and its indexes take; 0: this user may not see it
	HasFree bool
	Free    int64  // bytes, if HasFree
	Folder  string // of its file on this machine; empty: it is a server
}

// A StreamOwner says whose a stream is.
type StreamOwner struct {
	Stream        string
	StoreIdentity // empty where the stream does not say it, as earlier versions left it
}

// ErrNoStore is the error of a reader whose store is not there.
var ErrNoStore = errors.New("there is no store")

// ErrOtherStore is the error of a program whose streams belong to another store.
var ErrOtherStore = errors.New("the streams belong to another store")
